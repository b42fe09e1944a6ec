/* sim_storage.h - a directory in memory that loses, tears and reorders what was not synced, from a
 * seed.
 *
 * What a power cut does to it:
 *   - a write that was submitted and not reaped is lost, done, or torn: any subset of its 512-byte
 *     sectors is there.
 *   - what a killed process left written but not synced (sim_storage_kill): the same, until
 *     write_sync or sync of its file.
 *   - what was written and not synced: the same; a size that was not synced is the old one, the new
 *     one or one between.
 *   - names have the semantics of POSIX: each that was given or taken away since the directory was
 *     synced may be as before. Any subset of the changes is taken over; a rename may leave both
 *     names, each with a file. A file without a name is gone.
 *   - create_zeroed, rename, unlink and settle sync the directory before they return, so all names
 *     are durable then; create does not. One that is interrupted has done nothing, some of it
 *     (create_zeroed may leave NAME.tmp), or all, synced or not.
 *
 * The same seed and the same calls give the same results. Threads: one. */
#ifndef LIB_SIM_STORAGE_H
#define LIB_SIM_STORAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "io/storage.h"

/* An empty directory; destroyed by storage_destroy(). Never fails (aborts when out of memory). */
struct storage *sim_storage_make(uint64_t seed);

/* ---- Crashes ---- */

/* The power fails and comes back (close what uses the storage first, after sim_storage_stop(), or
 * afterwards; it must not write any more): open files are closed, what was not durable is lost,
 * done or torn. Writes under way are forgotten: nobody may reap them any more. */
void sim_storage_crash(struct storage *storage);

/* The process is killed, the machine lives: writes under way are done, but a later power cut may
 * still lose them, as it may undo changes of names when the kill came before they were synced
 * (sim_storage_crash_after). Open files are closed. */
void sim_storage_kill(struct storage *storage);

/* The storage stops in the nth operation from now (1: the next; 0: never): that operation may
 * have been done, partly or not at all, and it and all later ones fail with IO_ERROR until
 * sim_storage_crash() or sim_storage_kill(). Operations are create_zeroed, create, write,
 * write_sync, truncate, sync, rename, unlink, settle, submit_write, and reaping one write. */
void sim_storage_crash_after(struct storage *storage, uint64_t operations);

/* The storage stops now, between two operations. */
void sim_storage_stop(struct storage *storage);

/* True once the storage has stopped. */
bool sim_storage_crashed(const struct storage *storage);

/* Operations so far. */
uint64_t sim_storage_operations(const struct storage *storage);

/* ---- Faults ---- */

/* The nth write from now (1: the next; 0: none), submitted or synchronous, fails with `status`
 * (IO_ERROR, NO_SPACE); part of it may be on the disk. */
void sim_storage_fail_write(struct storage *storage, uint64_t nth, enum hf_status status);

/* Bytes that all files together may have; create_zeroed beyond gives NO_SPACE. UINT64_MAX at
 * first. */
void sim_storage_set_capacity(struct storage *storage, uint64_t bytes);

/* True: reap without waiting never finds anything, so that writes stay under way. */
void sim_storage_hold(struct storage *storage, bool hold);

/* ---- Looking inside ---- */

/* A file's bytes, which may be changed (damage); NULL if there is none. Valid until the file is
 * removed or replaced. */
uint8_t *sim_storage_data(struct storage *storage, const char *name, uint64_t *size);

/* Writes submitted and not reaped. */
unsigned sim_storage_in_flight(const struct storage *storage);

/* Bytes of all files. */
uint64_t sim_storage_used(const struct storage *storage);

/* A copy of all files, nothing open, nothing under way, with a seed of its own. What is not synced
 * counts as synced. */
struct storage *sim_storage_copy(const struct storage *storage, uint64_t seed);

#endif
