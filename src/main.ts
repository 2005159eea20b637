/** The entry of the executable: gives the program its process, and ends it with the program's status. */
import { runProgram } from "./cli/program.ts";
import { StandardOutput } from "./cli/terminal.ts";

const exitNow = (status: number): never => process.exit(status);

exitNow(
  await runProgram({
    words: process.argv.slice(2),
    env: process.env,
    stdout: new StandardOutput(1),
    stderr: new StandardOutput(2),
    exitNow,
  }),
);
