/** Tables of states: state, what happens, next state. Engines move by them, and tests compare them with the text. */
import { assert } from "../errors.ts";

/** What leads out of each state, and where to. */
export type Moves<State extends string, Move extends string> = Readonly<
  Record<State, Readonly<Partial<Record<Move, State>>>>
>;

/** The state behind `move`. A move that the table does not have is a bug of the engine, never of a peer. */
export function stateAfter<State extends string, Move extends string>(
  moves: Moves<State, Move>,
  state: State,
  move: Move,
): State {
  const to: State | undefined = moves[state][move];
  assert(to !== undefined, "a move that is in the table");
  return to;
}
