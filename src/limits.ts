/**
 * The limits that a peer or a user can meet, or that several files rely on: maxima, bounds of memory, times, pauses.
 * The unit is last in the name, the reason beside it. A number that matters to one file alone stands in that file.
 * `checkLimits` holds the relations between them; it runs at each start and in the tests.
 */
import { assert } from "./errors.ts";

export const KiB = 1024;
export const MiB: number = 1024 * KiB;
export const GiB: number = 1024 * MiB;

// ---- Names and messages: what a receiver takes, checked before memory is reserved. wire/PROTOCOL.md section 7.

/** One message's head (its fields). Holds an offer of some hundred names; small enough to reserve per connection. */
export const headBytesMax: number = 64 * KiB;
/** Largest payload of one message that a receiver takes, so that a sender may use larger chunks than ours. */
export const payloadBytesMax: number = MiB;
/** A name or source: what every common file system and archive format can hold. */
export const nameBytesMax = 1024;
/** Of a frame below a destination: its name, with its device and source in front. Systems take 4,096, with the root. */
export const pathBytesMax: number = 2 * nameBytesMax;
/** One segment of a name: the limit of ext4, XFS, APFS and NTFS. */
export const segmentBytesMax = 255;
/** Free text in a message (an error, a detail): a line for a person. */
export const textBytesMax = 512;
/** Small key/value data travelling with a frame. */
export const metadataBytesMax: number = 4 * KiB;
/** A key of it: a word, with room for a prefix. */
export const metadataKeyBytesMax = 64;
/** SHA-256. */
export const digestBytes = 32;
/** The head of a HELLO: all that a stranger may make us keep. */
export const helloBytesMax: number = 4 * KiB;
/** What one end proves to the other: two keys and a signature, with room. */
export const proofBytesMax = 512;
/** The text of a public key: 62 characters, with room for another kind of key. */
export const keyBytesMax = 128;
/** Receivers that a frame may come through. */
export const viaMax = 8;
/** Keys of a receiver: the present one, the spare, and room for a change of both. */
export const pinsMax = 4;

/** Sources of one session: an index must fit 16 bits, and a rig has a handful. */
export const sourcesMax = 1024;
/** Frames in progress on one connection: each holds an open file of the receiver. */
export const openFramesMax = 64;
/** Entries of one offer: with names of 30 bytes these are 24 KiB, well below a head. */
export const offerEntriesMax = 512;
/** Ranges in one ack, of 16 bytes each: half of a head. What does not fit goes into the next ack. */
export const ackRangesMax = 2048;

// ---- Frames

/** Largest frame accepted unless --max-frame says otherwise: an uncompressed picture of 80 megapixels fits. */
export const frameBytesMaxDefault: number = 256 * MiB;
/** What --max-frame may be set to: sizes above this are nonsense (64 TiB), and so are lockstep lengths. */
export const frameBytesCeiling: number = 64 * 1024 * GiB;
/** How often a frame that arrived damaged is sent before it is reported. */
export const frameAttemptsMax = 3;
/** The pause before a frame that the receiver wants again is sent again: doubles from the first to the last. */
export const againFirstMs = 100;
export const againLastMs = 30_000;
/** Wanted again so often, its source is said to be held: by then it has waited some seconds. */
export const againQuietMax = 5;

// ---- Sending: what is in flight, and what the sender keeps in memory

/** A frame up to this size travels in one message. The largest grain at which sources take turns; see `pieceMs`. */
export const chunkBytes: number = 256 * KiB;
/** Unacknowledged bytes: 1 Gbit/s at 100 ms is 12.5 MB; the rest is for group commits on a slow disk. */
export const windowBytesMax: number = 64 * MiB;
/** Unacknowledged frames: bounds the records that small frames need at the sender, as the bytes bound large ones. */
export const windowFramesMax = 4096;
/** Frames of one source that are listed and not yet settled. Bounds the sender's memory to a few MB per source. */
export const aheadFramesMax = 8192;
/** With the newest frame first, one this many frames behind has its turn, so that records of it need not be kept. */
export const agedFrames = 4096;
/**
 * Bytes encoded and not yet taken by the socket: room for two chunks and more, so that files are read while the socket
 * is full.
 */
export const outboxBytes: number = MiB;
/** Least payload in flight before progress was measured, and on the slowest of links: some Ethernet frames. */
export const flightBytesMin: number = 64 * KiB;
/** What may wait in the network beyond a round trip: covers a report every 5 ms and the system's own delays. */
export const flightSlackMs = 20;
/** A piece of a frame is what the link takes in this time, so that another source waits no longer for it. */
export const pieceMs = 10;
/** The least piece: below this, heads and system calls cost more than they help. */
export const pieceBytesMin: number = 16 * KiB;
/** Read at once of a frame's start that the receiver has, to see whether it is the same: some milliseconds. */
export const proveBytes: number = 4 * MiB;
/** What `--max-rate` lets through at once after a pause. */
export const rateBurstMs = 50;
/**
 * Frames of all streams of a sender that are kept in memory, because a stream cannot be read twice. Twice what 1 Gbit/s
 * at 100 ms needs; with the program itself it stays below 100 MiB.
 */
export const streamBytesMax: number = 32 * MiB;
/** How long a sent file must have been stored and unchanged before it is removed: longer than writers pause. */
export const restMsDefault: number = 60_000;
/** What the spools of all streams may hold together unless --spool-limit says otherwise. */
export const spoolBytesMaxDefault: number = 4 * GiB;

// ---- Receiving: memory, open files, the disk

/** What a connection may hold unparsed before its socket is paused. Bun hands in at most 512 KiB at a time. */
export const ringBytesMax: number = 4 * MiB;
/** Chunks in that ring; small pieces are gathered, so this is only reached by a paused peer. */
export const ringChunksMax = 1024;
/** Frames written and not yet committed, at which reading stops: each holds an open file until it is flushed. */
export const groupFramesMax = 256;
/** The least --keep-size: less is a mistyped unit, and would hold no frames of most cameras. */
export const keepBytesMin: number = MiB;
/** Bytes written and not yet committed, at which reading stops: the window of one sender. */
export const groupBytesMax: number = 64 * MiB;
/** Frames that were cut and wait for their session's next connection: each holds an open file. */
export const cutFramesMax = 64;
/** All that has arrived of them: a few of the largest frames, on the destination's disk. */
export const cutBytesMax: number = 2 * GiB;
/** A device may have this part of both: an eighth. */
export const cutShare = 8;
/** Less of a frame than this is sent anew: it costs less than it takes to keep. */
export const cutBytesMin: number = 64 * KiB;
/** How long they wait: the longest pause in a link that somebody waits for. */
export const cutKeptMs = 600_000;
/**
 * The least time between two commits while frames keep coming: a group then shares its catalogue pages and its ack. The
 * first frame after a pause is committed at once, so a camera's frames do not wait.
 */
export const groupMs = 10;
/** The same behind a group of one: whoever sends one frame waits for its ack, as far as we know. */
export const groupAloneMs = 2;
/** How often a receiver reports progress, if it is asked to. */
export const progressMs = 5;
/** Connections at a time unless --max-connections says otherwise: twice the 500 cameras of the benchmark. */
export const connectionsMaxDefault = 1024;
/** Files kept free of connections: those of one group, those in progress, the catalogue's and the program's own. */
export const spareFiles: number = groupFramesMax + openFramesMax + cutFramesMax + 32;
/** Free space below which the receiver stops reading: room for some groups, the catalogue, and the machine itself. */
export const minFreeBytesDefault: number = 256 * MiB;

// ---- Connections: when a peer is late, dead, or tried again

/**
 * A receiver that owes us an answer and says nothing but that it lives: after the first of these that is said, after
 * the second the connection is given up. A slow card may take minutes for a window that it is to flush.
 */
export const answerSaidMs = 60_000;
export const answerMs = 300_000;
/** Progress that was promised and does not come: we go on without. Longer than any round trip that is of use. */
export const progressLateMs = 5_000;
/** From accept to a complete first message; in lockstep also from the first byte of any later message to its end. */
export const handshakeMs = 5_000;
/** Nothing received for this long: the peer is dead. Three pings long, so that one may be lost in a stall. */
export const idleMs = 10_000;
/** Nothing sent for this long: send a ping. */
export const pingMs = 3_000;
/** Time for a connection attempt. */
export const connectMs = 10_000;
/** Back-off between connection attempts: doubles from the first to the last; chance shortens each by up to half. */
export const backoffFirstMs = 100;
export const backoffLastMs = 3_000;
/** How long a destination that is asked over a network may take to say what it holds; then it is asked again. */
export const lookupMs = 60_000;
/** A connection on which nothing was settled has worked all the same if it has lasted this long. */
export const steadyMs = 3_000;
/** While the destination is full or gone, how often it is looked at again. */
export const holdProbeMs = 1_000;
/** When nothing is stored, how often the destination is looked at all the same: others may change it. */
export const idleLookMs = 2_000;
/** Nothing takes the receiver so long by itself: a disk is frozen, or the server of a network file system is away. */
export const stoodStillMs = 5_000;
/** The longest pause before the path of a held source is tried again; they double from the one above. */
export const holdProbeMsMax = 30_000;
/** Sources that wait for a fault of their own, by name; frames of others are sent again one by one. */
export const heldSourcesMax = 256;
/** After the first signal: how long a sender waits for its acks, and a receiver for its last commit. */
export const stopMs = 5_000;
/** As much of it is for telling the receiver which frames of a stream it will not get. */
export const stopTellMs = 1_000;

// ---- Keys. wire/PROTOCOL.md section 11.

/** Connections whose peers are not admitted, at a time; and at most this part of the files that may be open. */
export const strangersMax = 256;
export const strangersShare = 8;
/** Of them from one address, unless --per-address says otherwise: a site behind one address has some cameras. */
export const strangersPerAddressDefault = 64;
/** How long an invitation may be used, unless --for says otherwise: somebody walks over to the device. */
export const invitationMsDefault = 600_000;
/** Ten years: longer would be a grant, and one beyond the year 9999 could not be read. */
export const invitationMsMax: number = 3_650 * 86_400_000;
/** Connections of one key and device at a time: one, the one that it replaces, and room for two programs. */
export const keyConnectionsMax = 4;
/** Connections of a gateway to its upstream: devices beyond it take turns. Each may have a send buffer of 1 MiB. */
export const upstreamConnectionsMax = 64;
/** How often a gateway looks whose turn is over. */
export const gatewayLookMs = 500;
/** How long a turn is at least where others wait. */
export const gatewayTurnMs = 2_000;
/** A session of which nothing came for so long gives its connection up; a backlog that is as old is told. */
export const gatewayIdleMs = 60_000;
/** A device that the upstream refuses for good, as it says, is tried again after this time. */
export const upstreamRefusedMs = 300_000;
/** Sources of a device, unless its grant lists more. */
export const keySourcesMax = 64;
/** What has not arrived in full of all frames of a key: temporary files. Four of the largest frames. */
export const keyOpenBytesMax: number = GiB;
/** What a row of the catalogue costs against a device's rate and quota, beside the frame's bytes. */
export const rowBytes: number = 4 * KiB;
/** Gaps and stretches of a key, per millisecond: a row each. Frames have files, which take their time. */
export const keyRowsPerMs = 1;
/** Joins that come to nothing and are looked at in a minute: of one address, in all, and of how many addresses. */
export const joinsPerAddressMax = 10;
export const joinsMax = 60;
export const joinAddressesMax = 4096;
/** After REFUSE `unauthorized`, while there is more to send: doubles from the first to the last. */
export const unauthorizedFirstMs = 30_000;
export const unauthorizedLastMs = 300_000;

// ---- Lockstep, whose peers know nothing of ours. lockstep/PROTOCOL.md section 7.

/** The largest lockstep header that is looked at: a name of `nameBytesMax`, 16 digits, a bar, and some room. */
export const lockstepHeaderBytesMax = 1_100;
/** What an old lockstep receiver reads at once; a message of ours has to fit, because it takes each read for one. */
export const lockstepReadBytes = 1_024;
/** The end of a lockstep header is not marked: it is complete when this long nothing has followed. */
export const lockstepSettleMs = 100;
/** The least time between a lockstep `continue` and the next header, which must not arrive in one read. */
export const lockstepPauseMs = 50;
/** The longest of these pauses; an old program may have limits of its own. */
export const lockstepPauseMsMax = 10_000;
/**
 * No lockstep reply and no byte taken for this long: the connection is given up, and begun again with longer pauses.
 */
export const lockstepReplyMs = 30_000;
/** A lockstep peer cannot ping: an old program may sit between two frames for this long. */
export const lockstepIdleMs = 60_000;

/** The relations that must hold between limits. Called once at start. */
export function checkLimits(): void {
  assert(chunkBytes <= payloadBytesMax, "our chunks must be acceptable to ourselves");
  assert(nameBytesMax + textBytesMax + 64 <= headBytesMax, "a name and a text fit a head");
  assert(nameBytesMax + metadataBytesMax + digestBytes + 64 <= headBytesMax, "a name and metadata fit a head");
  const helloBytes = nameBytesMax + textBytesMax + proofBytesMax + viaMax * (2 + keyBytesMax) + 64;
  assert(helloBytes <= helloBytesMax, "a hello fits its head");
  assert(outboxBytes >= 2 * (chunkBytes + headBytesMax), "one chunk can be filled while another is written");
  assert(payloadBytesMax + headBytesMax < ringBytesMax, "a whole message fits the ring");
  assert(groupFramesMax <= windowFramesMax, "a window fills at least one group");
  assert(pieceBytesMin <= flightBytesMin && pieceBytesMin <= chunkBytes, "the least piece may always be in flight");
  assert(agedFrames < aheadFramesMax, "old frames have their turn before listing stops");
  assert(lookupMs < answerMs, "a look-up that is given up is no receiver that is");
  assert(idleMs < answerSaidMs && progressLateMs < answerSaidMs, "what can heal by itself comes before what is said");
  assert(pingMs * 3 < idleMs, "three pings fit the idle limit");
  assert(ackRangesMax * 16 + 64 <= headBytesMax, "an ack fits a head");
  assert(nameBytesMax + 17 <= lockstepHeaderBytesMax, "a name and a length fit a lockstep header");
  assert(offerEntriesMax * 13 + 64 <= headBytesMax, "an answer to a full offer fits a head");
}
