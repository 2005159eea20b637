/** What a sender calls itself: its host name, or what `--device` says, with `{host}` and `{id}` filled in. */
import { hostname } from "node:os";
import { UserError } from "../errors.ts";
import { givenNameProblem } from "../names.ts";
import { machineId } from "../system/machine-id.ts";
import { fieldList, Template } from "../template.ts";

const fields = ["host", "id"] as const;

/** Why a text cannot be a device's name, whatever its fields become; undefined: it can. */
export function deviceTemplateProblem(text: string): string | undefined {
  const template = new Template(text, fields);
  if (template.unknownField !== undefined) return `${template.unknownField} is none of ${fieldList(fields)}`;
  return givenNameProblem(template.fill(() => "x"));
}

export interface Machine {
  readonly host: () => string;
  readonly id: () => string | undefined;
}

const thisMachine: Machine = { host: hostname, id: machineId };

/** Throws UserError: the machine's own name or id is not there, or is no name. */
export function deviceNameOf(text: string | undefined, machine: Machine = thisMachine): string {
  const name = new Template(text ?? "{host}", fields).fill((field) =>
    field === "host" ? machine.host() : idOf(machine),
  );
  const problem = givenNameProblem(name);
  if (problem === undefined) return name;
  throw new UserError(`the host name cannot name the device: ${problem}`, ["choose a name: --device NAME"]);
}

function idOf(machine: Machine): string {
  const id = machine.id();
  if (id !== undefined) return id;
  throw new UserError("this machine has no id for {id}", [
    "on Linux it is in /etc/machine-id: systemd-machine-id-setup makes it",
    "or choose a name: --device NAME",
  ]);
}
