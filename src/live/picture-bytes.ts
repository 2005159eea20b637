/** A larger frame is not shown: it would be copied, decoded and sent to every viewer. */
import { MiB } from "../limits.ts";

export const pictureBytesMax: number = 32 * MiB;
