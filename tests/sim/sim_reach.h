/* sim_reach.h - what the seeds reached: counts, the table of them, and the least that the first
 * hundred seeds must reach.
 *
 * A simulation that passes says little unless it is known what it went through. The floors hold for
 * seeds 1 to 100 exactly, which are the same on every machine; they are a quarter to a half of what
 * those seeds reached when the floors were set. A change that leads the seeds elsewhere may need
 * other probabilities, not lower floors.
 *
 * Threads: one. */
#ifndef TESTS_SIM_SIM_REACH_H
#define TESTS_SIM_SIM_REACH_H

#include <stdbool.h>
#include <stdint.h>

#define REACH_FLOOR_SEEDS 100u

/* name, floor for REACH_FLOOR_SEEDS, text */
#define REACH_ALL(X)                                                                               \
    X(ANSWERS, 9700, "answers")                                                                    \
    X(REPLAYED, 1400, "  of these, to what had been done before")                                  \
    X(UNANSWERED, 2700, "requests that a crash left unanswered")                                   \
    X(DECISIONS_LOST, 2300, "decisions that went with a crash, never acknowledged")                \
    X(DECISIONS_KEPT, 910, "decisions that were kept, never acknowledged")                         \
    X(EXPIRED, 4200, "orders expired")                                                             \
    X(FORGOTTEN, 3500, "orders forgotten")                                                         \
    X(POWER_CUTS, 160, "power cuts between operations")                                            \
    X(POWER_CUTS_WITHIN, 120, "power cuts within an operation")                                    \
    X(CUTS_WRITING, 140, "  with writes under way")                                                \
    X(POWER_CUTS_STARTING, 110, "  while the engine started")                                      \
    X(KILLS, 44, "kills")                                                                          \
    X(KILLS_WITHIN, 22, "kills within an operation")                                               \
    X(STOPS, 19, "orderly stops")                                                                  \
    X(LOGS_CLOSED, 3, "logs closed by a failed write")                                             \
    X(RECOVERIES, 350, "recoveries")                                                               \
    X(DIGESTS, 530, "DIGEST blocks that agreed")                                                   \
    X(TORN, 14, "torn tails cut off")                                                              \
    X(TORN_AT_ONCE, 5, "  with several blocks under way")                                          \
    X(SEGMENTS, 340, "segments begun after the first")                                             \
    X(GIVEN_BACK, 210, "segments given back")                                                      \
    X(USED_ANEW, 52, "files used anew")                                                            \
    X(CHECKPOINTS, 250, "checkpoints made")                                                        \
    X(CHECKPOINTS_NONE, 710, "checkpoints asked for with nothing new")                             \
    X(CHECKPOINTS_FAILED, 140, "checkpoints that failed, on a disk that fails or is full")         \
    X(CHECKPOINTS_CUT, 52, "power cuts within the making of a checkpoint")                         \
    X(CHECKPOINTS_LOADED, 230, "starts from a checkpoint")                                         \
    X(CHECKPOINTS_PASSED, 32, "starts that passed a damaged one over")                             \
    X(CHECKPOINTS_GONE, 7, "starts after the newest had been removed")                             \
    X(CHECKPOINTS_REBUILT, 3, "checkpoints made past a damaged one")                               \
    X(ARCHIVED, 55, "segments archived")                                                           \
    X(ARCHIVE_FAILED, 21, "times that the archive failed")                                         \
    X(ARCHIVE_CUT, 4, "power cuts within the archive")                                             \
    X(ARCHIVE_REPLAYED, 9, "whole logs replayed, from archive and log")                            \
    X(DISKS_FULL, 360, "disks that became full")                                                   \
    X(READ_ONLY, 7, "spells of READ_ONLY")                                                         \
    X(READ_ONLY_OVER, 6, "  that ended with room")                                                 \
    X(READ_ONLY_REFUSED, 23, "requests refused with READ_ONLY")                                    \
    X(FULL_AT_START, 19, "starts on a full disk")                                                  \
    X(LOST_REFUSED, 5, "starts refused: a segment is gone")                                        \
    X(DAMAGED_REFUSED, 5, "starts refused: a segment is damaged")                                  \
    X(NO_CHECKPOINT_REFUSED, 3, "starts refused: no checkpoint is whole")                          \
    X(CLOCK_FAULTS, 200, "clock faults")                                                           \
    X(CLOCK_BELIEVED, 1, "  jumps that were believed")                                             \
    X(CLOCK_GONE, 3, "  jumps that were not")                                                      \
    X(CLOCK_DOUBTED, 66, "starts with a clock that had jumped")                                    \
    X(SAME_BOOT, 210, "starts in the same boot")                                                   \
    X(OTHER_BOOT, 130, "starts in another boot")

enum reach {
#define REACH_NAME(name, floor, text) REACH_##name,
    REACH_ALL(REACH_NAME)
#undef REACH_NAME
        REACH_COUNT
};

/* Adds `more` to `total`. */
void reach_add(uint64_t total[REACH_COUNT], const uint64_t more[REACH_COUNT]);

/* Crashes, each of which was followed by a recovery that was held against the model. */
uint64_t reach_crashes(const uint64_t counts[REACH_COUNT]);

/* The table: each count, and how many that is for a thousand seeds. */
void reach_print(const uint64_t counts[REACH_COUNT], uint64_t seeds);

/* Whether the counts of REACH_FLOOR_SEEDS seeds are above the floors; says which are not. */
bool reach_suffices(const uint64_t counts[REACH_COUNT]);

#endif
