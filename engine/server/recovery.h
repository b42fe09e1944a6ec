/* recovery.h - rebuilds the core from the newest whole checkpoint and the log behind it.
 *
 * Threads: the caller's, and those that it starts; before anything else runs. */
#ifndef SERVER_RECOVERY_H
#define SERVER_RECOVERY_H

#include "server/engine.h"

/* Recovers the newest checkpoint that is whole, and the log behind it, into engine->inventory,
 * which it makes; on OK *end says where the log ends. */
enum hf_status recovery_run(struct engine *engine, struct engine_recovery *recovery,
                            struct wal_end *end);

#endif
