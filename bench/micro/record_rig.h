/* record_rig.h - events and their records, for the records' suite. Plain enough for C++.
 * Threads: one. */
#ifndef MICRO_RECORD_RIG_H
#define MICRO_RECORD_RIG_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RECORD_RIG_EVENTS 1000u

struct record_rig;

/* RECORD_RIG_EVENTS holds of lines_each lines; 0: commits instead. Never fails (aborts). */
struct record_rig *record_rig_make(uint32_t lines_each);
void record_rig_free(struct record_rig *rig);

/* All events to records, all records to events; each returns the records' bytes. */
uint32_t record_rig_encode(struct record_rig *rig);
uint32_t record_rig_decode(struct record_rig *rig);

#ifdef __cplusplus
}
#endif

#endif
