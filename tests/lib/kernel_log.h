/* kernel_log.h - the calls that kernel.h has reported, which of their effects are durable, and
 * faults that are planned for chosen calls.
 *
 * What is durable is held as POSIX and the flags promise it, whatever the file system does beyond:
 * a write's bytes once it has come back with RWF_DSYNC or RWF_SYNC, or an fdatasync or fsync of the
 * file that was begun after it has come back well; a name (made, renamed, removed) once an fsync of
 * its directory has. After a failed sync of a file none of what was unsynced ever counts as
 * durable: the kernel may have dropped it and say OK the next time.
 *
 * Threads: one. There is one log in a program; a failure inside ends it with a message. */
#ifndef TESTS_LIB_KERNEL_LOG_H
#define TESTS_LIB_KERNEL_LOG_H

#include <stdio.h>

#include "lib/kernel.h"

#define KERNEL_LOG_CALLS_MAX 4096u

/* A call as it went; without its data. */
struct kernel_log_call {
    enum kernel_op op;
    uint64_t file;
    char name[KERNEL_NAME_BYTES_MAX];
    char to[KERNEL_NAME_BYTES_MAX];
    bool is_directory;
    bool ring;
    bool planned; /* a fault of the plan was in it */
    bool ended;
    int flags;
    uint64_t offset;
    size_t len;
    int64_t result;
    size_t unsynced; /* RENAME: bytes of the file that were not durable when it was called */
};

/* From now on calls at and below the directory are logged. */
void kernel_log_start(const char *directory);
void kernel_log_stop(void);

/* Forgets the calls and the plan; what is durable stays known. */
void kernel_log_clear(void);

/* The calls since then, and how many. */
const struct kernel_log_call *kernel_log_calls(size_t *count);

/* How many calls of that kind were made since then: of a file whose name begins so; NULL: any. */
unsigned kernel_log_count(enum kernel_op op, const char *prefix);

/* Plans a fault for the call that is the nth from now on, from 1: of one kind, or of any but the
 * ring's own (KERNEL_OPS). error and take as in kernel.h. Plans add up. */
void kernel_log_plan(enum kernel_op op, unsigned nth, int error, size_t take);

/* How many of the plans have been met. */
unsigned kernel_log_met(void);

/* Forgets the plans that have not been met. */
void kernel_log_disarm(void);

/* Bytes of the file, by its present name, that were written and are not durable; a size that was
 * cut and is not durable counts as one byte. */
size_t kernel_log_unsynced(const char *name);

/* How many names in the directory ("." or below) were made, renamed or removed and not made
 * durable. */
size_t kernel_log_names_pending(const char *directory);

/* Prints the calls to stderr. */
void kernel_log_print(void);

/* For long runs: from now on what is durable is held, and calls are not remembered. */
void kernel_log_forget_calls(void);

/* Writes a line "bytes N NAME" for each file that is not durable in full, and "name NAME" for each
 * name that was changed and is not; then "files N", which were opened and are there. */
void kernel_log_report(FILE *to);

#endif
