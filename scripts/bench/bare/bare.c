/* As bare.ts, in C: what the system alone takes. bare receive PORT DIR | bare send PORT DIR */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { headBytes = 8, flushBytes = 256 << 10, bufferBytes = 16 << 20, receiveBytes = 512 << 10, pathBytes = 4096 };
static char buffer[bufferBytes];

static void check(long result, const char *what) {
  if (result >= 0) return;
  perror(what);
  exit(1);
}

static struct sockaddr_in address(const char *port) {
  struct sockaddr_in found = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
  found.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return found;
}

static void flush(int link, size_t length) {
  for (size_t at = 0; at < length;) {
    ssize_t taken = send(link, buffer + at, length - at, MSG_NOSIGNAL);
    check(taken, "send");
    at += (size_t)taken;
  }
}

static void sendFiles(const char *port, const char *directory) {
  int link = socket(AF_INET, SOCK_STREAM, 0);
  struct sockaddr_in to = address(port);
  check(connect(link, (struct sockaddr *)&to, sizeof to), "connect");
  DIR *folder = opendir(directory);
  check(folder == NULL ? -1 : 0, directory);
  size_t filled = 0;
  for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
    if (entry->d_name[0] == '.') continue;
    char path[pathBytes];
    snprintf(path, sizeof path, "%s/%s", directory, entry->d_name);
    struct stat status;
    check(lstat(path, &status), path);
    int file = open(path, O_RDONLY);
    check(file, path);
    check(fstat(file, &status), path);
    uint32_t head[2] = {(uint32_t)strlen(entry->d_name), (uint32_t)status.st_size};
    memcpy(buffer + filled, head, headBytes);
    memcpy(buffer + filled + headBytes, entry->d_name, head[0]);
    filled += headBytes + head[0];
    for (size_t left = head[1]; left > 0;) {
      ssize_t taken = read(file, buffer + filled, left);
      check(taken == 0 ? -1 : taken, path);
      filled += (size_t)taken;
      left -= (size_t)taken;
    }
    check(fstat(file, &status), path);
    close(file);
    if (filled < flushBytes) continue;
    flush(link, filled);
    filled = 0;
  }
  memset(buffer + filled, 0, headBytes);
  flush(link, filled + headBytes);
  char answer;
  check(recv(link, &answer, 1, 0) == 1 ? 0 : -1, "no answer");
}

static void store(int link, const char *folder) {
  char temporary[pathBytes], name[pathBytes], path[pathBytes];
  snprintf(path, sizeof path, "%s/tmp", folder);
  check(mkdir(folder, 0777), folder);
  check(mkdir(path, 0777), path);
  size_t have = 0, left = 0;
  int file = -1, count = 0;
  for (;;) {
    ssize_t taken = recv(link, buffer + have, receiveBytes, 0);
    check(taken == 0 ? -1 : taken, "recv");
    have += (size_t)taken;
    size_t at = 0;
    for (;;) {
      if (file >= 0) {
        size_t length = have - at < left ? have - at : left;
        if (length > 0) check(write(file, buffer + at, length) == (ssize_t)length ? 0 : -1, temporary);
        at += length;
        left -= length;
        if (left > 0) break;
        close(file);
        file = -1;
        snprintf(path, sizeof path, "%s/%s", folder, name);
        check(renameat2(AT_FDCWD, temporary, AT_FDCWD, path, RENAME_NOREPLACE), path);
      }
      uint32_t head[2];
      if (have - at < headBytes) break;
      memcpy(head, buffer + at, headBytes);
      if (head[0] == 0) {
        check(send(link, "k", 1, MSG_NOSIGNAL), "send");
        close(link);
        return;
      }
      if (head[0] >= sizeof name) exit(1);
      if (have - at < headBytes + head[0]) break;
      memcpy(name, buffer + at + headBytes, head[0]);
      name[head[0]] = 0;
      left = head[1];
      at += headBytes + head[0];
      snprintf(temporary, sizeof temporary, "%s/tmp/%d", folder, count++);
      file = open(temporary, O_WRONLY | O_CREAT | O_EXCL, 0666);
      check(file, temporary);
    }
    memmove(buffer, buffer + at, have - at);
    have -= at;
  }
}

int main(int count, char **words) {
  if (count != 4) return 2;
  if (strcmp(words[1], "send") == 0) {
    sendFiles(words[2], words[3]);
    return 0;
  }
  int listener = socket(AF_INET, SOCK_STREAM, 0);
  struct sockaddr_in at = address(words[2]);
  check(bind(listener, (struct sockaddr *)&at, sizeof at), "bind");
  check(listen(listener, 1), "listen");
  for (int connections = 0;; connections++) {
    int link = accept(listener, NULL, NULL);
    check(link, "accept");
    char folder[pathBytes];
    snprintf(folder, sizeof folder, "%s/%d", words[3], connections);
    store(link, folder);
  }
}
