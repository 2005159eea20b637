/** The entry of the executable: gives the program its process, and ends it with the program's status. */
import { runProgram } from "./cli/program.ts";
import { StandardError, StandardOutput } from "./cli/standard-output.ts";

const stderr = new StandardError();

const exitNow = (status: number): never => {
  stderr.finish();
  return process.exit(status);
};

exitNow(
  await runProgram({ words: process.argv.slice(2), env: process.env, stdout: new StandardOutput(), stderr, exitNow }),
);
