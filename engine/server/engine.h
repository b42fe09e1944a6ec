/* engine.h - everything below the transport: requests in, durable responses out.
 *
 * An engine is the core, the log and recovery put together. It knows no socket: the transport, a
 * test or a simulation hands it calls. With threads (engine_start) calls may come from any thread
 * and the log has its own; without, a simulation runs one thread through engine_submit(),
 * engine_step() and engine_expire(), with its own clock and storage.
 *
 * The order of things in engine_submit() is docs/design.md, Discipline: decide (units are taken),
 * append (the records get their LSN), publish (states are visible, units are returned), and the
 * response waits for commit_lsn. */
#ifndef SERVER_ENGINE_H
#define SERVER_ENGINE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/clock.h"
#include "core/inventory.h"
#include "io/storage.h"
#include "server/slowest.h"
#include "wal/wal.h"
#include "wire/message.h"

struct engine;

struct engine_options {
    struct inventory_options inventory;
    struct wal_options wal;
    uint64_t retain_ended_ms; /* how long ended orders are remembered; 0: for ever */
    /* Checkpoints: one is due when the segments since the last hold wal_bytes_max / 8 and the
     * engine has little to do, or hold wal_bytes_max / 4 whatever it does. */
    uint64_t wal_bytes_max; /* 0: no checkpoints are made */
    bool trust_clock; /* the wall clock is right at this start, however far from the log's last time
                       */
    uint64_t checkpoint_memory;  /* bytes for sorting; 0: the default */
    unsigned recovery_threads;   /* 0: as many as there are processors, at most 4 */
    struct storage *archive;     /* gets each sealed segment before it is recycled; NULL: none.
                                    Not owned */
    const struct id128 *cluster; /* the log must be this cluster's; NULL: whichever it is. Read by
                                    engine_open alone */
    const char
        *token; /* requests must carry it; NULL or "": none needed. Kept: outlives the engine */
    /* Progress of recovery, now and then; NULL: none. */
    void (*progress)(void *context, uint64_t done_bytes, uint64_t total_bytes, uint64_t records);
    void *progress_context;
};

/* What recovery found. */
struct engine_recovery {
    uint64_t blocks;
    uint64_t records;
    uint64_t lsn;
    uint64_t torn_bytes; /* removed: never acknowledged */
    uint64_t checkpoint; /* number of the checkpoint that recovery began with; 0: none */
    uint64_t checkpoint_orders;
    char notice[640];   /* what was passed over, as a checkpoint that is damaged; else "" */
    bool unreadable;    /* a newer checkpoint was passed over because it can't be read just now */
    uint64_t digests;   /* DIGEST blocks that agreed */
    char message[1024]; /* why engine_open failed, for the operator; else "" */
};

/* Recovers the log in storage and opens it for work. The engine does not own storage or clock.
 * OK; DAMAGED (recovery->message names file, offset and the tool); IO_ERROR, NO_SPACE, FULL,
 * NO_MEMORY. */
enum hf_status engine_open(struct engine **out, const struct engine_options *options,
                           struct storage *storage, const struct clock *clock,
                           struct engine_recovery *recovery);

/* Frees everything. Stop first, if it was started. */
void engine_close(struct engine *engine);

/* Starts the threads of the log, the housekeeper and the checkpointer. */
enum hf_status engine_start(struct engine *engine);

/* Ends them: every call that was submitted is answered first. Nobody submits any more. */
void engine_stop(struct engine *engine);

/* One request and its response. Owned by the caller, untouched by it from submit until done(). */
struct engine_call {
    struct wal_waiter waiter;  /* the engine's own */
    struct engine *engine;     /* the engine's own */
    uint64_t received_ns;      /* clock's monotonic time of arrival, for timeout_ms; 0: now */
    uint64_t begun_ns;         /* when a handler began with it; 0: as received_ns */
    struct arena *arena;       /* memory of the response; the caller clears it after done() */
    struct response response;  /* filled when done() runs; points into the arena */
    struct slowest_answer way; /* the engine's own: its stamps, for engine_answer_way() */
    uint64_t answer_bytes_max; /* the longest answer that the caller takes */
    bool refuse_longer;        /* nothing was changed: a longer one may be refused instead */
    /* The response may leave. Runs in engine_submit() or on the log's thread; never blocks. */
    void (*done)(struct engine_call *call);
    /* Called now and then while a long request is executed: nothing of it is under way then, and
     * others may be executed in between, on this thread too. NULL: does nothing. */
    void (*pause)(struct engine_call *call);
};

/* Executes a decoded request. Any thread. */
void engine_submit(struct engine *engine, struct engine_call *call, const struct request *request);

/* Answers a request that could not be decoded, or that is refused unseen (BUSY). Any thread. */
void engine_refuse(struct engine *engine, struct engine_call *call, enum hf_status status,
                   const char *message);

/* What is to be remembered of an answered call for engine_answered(). From done(), while the call
 * is still the caller's. The lengths are those of its messages, in bytes. */
struct slowest_answer engine_answer_way(const struct engine_call *call, size_t request_bytes,
                                        size_t answer_bytes);

/* The answer has been handed to the connection. Keeps its way if it was the slowest of this second,
 * for the status request that asks for them. Does nothing if received_ns was 0. Any thread; may be
 * called after the call has gone. */
void engine_answered(struct engine *engine, struct slowest_answer *way);

/* Around answers that this thread hands over in a row and that leave together (slowest.h): the
 * stage "reply" of each of them ends with engine_answers_end(). For wal_set_tell_hooks. */
void engine_answers_begin(struct engine *engine);
void engine_answers_end(struct engine *engine);

/* ---- For a single thread (simulations, tests) ---- */

/* One pass of the log's writer and of the preparer of segments; true if anything was done. */
bool engine_step(struct engine *engine);

/* Reads the clock, as the housekeeper does all the time, and returns the times. */
void engine_tick(struct engine *engine, struct time_reading *now);

/* Expires what is due by the clock; returns how many orders. */
uint64_t engine_expire(struct engine *engine);

/* Forgets what ended retain_ended_ms ago or earlier; returns how many orders. */
uint64_t engine_forget(struct engine *engine);

/* Makes a checkpoint of all sealed segments now, if there are any since the last one; then archives
 * and recycles the segments that the older of the last two covers. OK, NOT_FOUND (nothing new), or
 * why it failed. Not beside a started engine's own checkpointer. */
enum hf_status engine_checkpoint(struct engine *engine);

/* The core, for checks while nothing else runs. */
struct inventory *engine_inventory(struct engine *engine);
struct wal *engine_wal(struct engine *engine);

/* What the state's digest should be: the sum of all events since the log began. */
uint64_t engine_digest(const struct engine *engine);

/* True once the log is closed after a failed write: the process is to exit. Any thread. */
bool engine_failed(const struct engine *engine);

#endif
