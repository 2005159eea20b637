/** When stored means that it survives a power loss: synced in groups, frame by frame, or left to the system. */
export type SyncMode = "batch" | "each" | "never";
