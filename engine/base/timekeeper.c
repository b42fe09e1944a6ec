/* timekeeper.c - engine time and wall time.
 *
 * Threads: a reader needs one number that changes, wall_ahead; timekeeper_tick alone writes it. The
 * guard keeps wall time from going back while it is slewed back, among all readers; since it knows
 * which step it belongs to, a reader from before a step can't bring back what was before. */
#include "base/timekeeper.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/diag.h"

#define MS_NS           1000000
#define TIME_MS_MAX     9000000000000 /* the year 2255: in ns it fits 63 bits */
#define TIME_BITS       48u
#define TIME_MASK       (((uint64_t)1 << TIME_BITS) - 1)
#define PHASE_LOOKS     20u
#define LINES_MAX       20u
#define LINES_EVERY_NS  30000000000
#define SPAN_TEXT_BYTES 40u

/* ---- Reading ---- */

/* A difference of times out of TIME_BITS. */
static int64_t signed_bits(uint64_t bits)
{
    return (int64_t)(bits << (64 - TIME_BITS)) >> (64 - TIME_BITS);
}

static int64_t boot_ns(const struct timekeeper *time)
{
    return (int64_t)clock_boottime_ns(time->clock) + time->phase_ns;
}

/* Wall time does not go back while it is slewed: no reader gets less than another has got. A reader
 * from before a step has nothing to compare with. */
static uint64_t guarded(struct timekeeper *time, uint64_t ahead, uint64_t wall_ms)
{
    uint64_t steps = ahead & ~TIME_MASK;
    /* relaxed: the value alone matters. */
    uint64_t guard = atomic_load_explicit(&time->guard, memory_order_relaxed);
    while ((guard & ~TIME_MASK) == steps && (guard & TIME_MASK) < wall_ms) {
        if (atomic_compare_exchange_weak_explicit(&time->guard, &guard, steps | wall_ms,
                                                  memory_order_relaxed, memory_order_relaxed)) {
            return wall_ms;
        }
    }
    return (guard & ~TIME_MASK) == steps ? guard & TIME_MASK : wall_ms;
}

static void read_once(struct timekeeper *time, struct time_reading *now)
{
    /* acquire: pairs with the release in set_ahead; the guard that belongs to it is there. */
    uint64_t ahead = atomic_load_explicit(&time->wall_ahead, memory_order_acquire);
    int64_t boot_ms = boot_ns(time) / MS_NS;
    now->engine_ms = (uint64_t)(boot_ms + time->engine_ahead_ms);
    now->ahead_ms = signed_bits(ahead);
    now->wall_ms = guarded(time, ahead, time_shown_ms(now->engine_ms, now->ahead_ms));
    /* A difference of 34 years would not fit TIME_BITS. */
    now->boot = boot_ms >> CLOCK_BOOT_BITS == 0 ? time->boot : 0;
    now->boot_ms = now->boot ? (uint64_t)boot_ms : 0;
}

void timekeeper_read(struct timekeeper *time, struct time_reading *now)
{
    read_once(time, now);
    if (now->wall_ms != time_shown_ms(now->engine_ms, now->ahead_ms)) {
        /* While this thread was held up, another one read a later time, which the guard then gave
         * us beside an earlier engine time. That is so no more; or wall time is slewed back. */
        read_once(time, now);
    }
}

uint64_t timekeeper_engine_ms(struct timekeeper *time)
{
    return (uint64_t)(boot_ns(time) / MS_NS + time->engine_ahead_ms);
}

void timekeeper_status(struct timekeeper *time, struct time_status *status)
{
    spin_lock(&time->shown_lock);
    *status = time->shown;
    spin_unlock(&time->shown_lock);
}

/* ---- For the operator ---- */

static const char *span_text(int64_t ms, char text[SPAN_TEXT_BYTES])
{
    uint64_t size = ms < 0 ? (uint64_t)-ms : (uint64_t)ms;
    if (size >= 3600000) {
        snprintf(text, SPAN_TEXT_BYTES, "%" PRIu64 " h %" PRIu64 " min %" PRIu64 " s",
                 size / 3600000, size / 60000 % 60, size / 1000 % 60);
    } else {
        snprintf(text, SPAN_TEXT_BYTES, "%" PRIu64 ".%03" PRIu64 " s", size / 1000, size % 1000);
    }
    return text;
}

static const char *side(int64_t ms)
{
    return ms < 0 ? "behind" : "ahead of";
}

/* Whether there may be one more line: a clock that jumps all the time must not fill a disk. */
static bool may_say(struct timekeeper *time, int64_t now_ns)
{
    while (time->lines_left < LINES_MAX && now_ns - time->lines_ns >= LINES_EVERY_NS) {
        time->lines_left++;
        time->lines_ns += LINES_EVERY_NS;
    }
    if (time->lines_left == LINES_MAX) {
        time->lines_ns = now_ns;
    }
    if (time->lines_left == 0) {
        time->lines_unsaid++;
        return false;
    }
    time->lines_left--;
    if (time->lines_unsaid > 0) {
        diag_warn("clock: %" PRIu32 " more changes were not reported here", time->lines_unsaid);
        time->lines_unsaid = 0;
    }
    return true;
}

static void show(struct timekeeper *time)
{
    spin_lock(&time->shown_lock);
    time->shown = time->status;
    spin_unlock(&time->shown_lock);
}

/* ---- The wall clock ---- */

/* The wall clock against wall time. The wall clock is read between two readings of the other clock:
 * so a thread that is held up between them does not mistake that for a jump. */
struct look {
    int64_t boot_ns;       /* after it */
    int64_t clock_ns;      /* the wall clock */
    int64_t wall_ns;       /* wall time, after it */
    int64_t difference_ms; /* of the wall clock to it; 0: less than one */
};

static int64_t clock_ns(const struct timekeeper *time)
{
    const uint64_t most = (uint64_t)TIME_MS_MAX * MS_NS;
    uint64_t ns = clock_unix_ns(time->clock);
    return (int64_t)(ns < most ? ns : most);
}

static struct look look_at(const struct timekeeper *time)
{
    /* relaxed: only this thread writes it. */
    int64_t ahead_ms = signed_bits(atomic_load_explicit(&time->wall_ahead, memory_order_relaxed)) +
                       time->engine_ahead_ms;
    int64_t earliest_ns = boot_ns(time) + ahead_ms * MS_NS;
    struct look look = {.clock_ns = clock_ns(time)};
    look.boot_ns = boot_ns(time);
    look.wall_ns = look.boot_ns + ahead_ms * MS_NS;
    if (look.clock_ns > look.wall_ns) {
        look.difference_ms = (look.clock_ns - look.wall_ns) / MS_NS;
    } else if (look.clock_ns < earliest_ns) {
        look.difference_ms = (look.clock_ns - earliest_ns) / MS_NS;
    }
    return look;
}

static bool is_jump(int64_t difference_ms)
{
    return difference_ms > (int64_t)CLOCK_SLEW_MS || difference_ms < -(int64_t)CLOCK_SLEW_MS;
}

static void set_ahead(struct timekeeper *time, int64_t ahead_ms, uint64_t steps)
{
    /* release: pairs with the acquire in timekeeper_read. */
    atomic_store_explicit(&time->wall_ahead, steps | ((uint64_t)ahead_ms & TIME_MASK),
                          memory_order_release);
}

/* The part of the elapsed time that may be slewed, in whole milliseconds; the rest is for later. */
static void slew(struct timekeeper *time, const struct look *look)
{
    /* relaxed: only this thread writes it. */
    uint64_t ahead = atomic_load_explicit(&time->wall_ahead, memory_order_relaxed);
    int64_t most_ms = (look->boot_ns - time->slewed_ns) / CLOCK_SLEW_PART / MS_NS;
    int64_t step_ms = look->difference_ms;
    if (step_ms >= -most_ms && step_ms <= most_ms) {
        time->slewed_ns =
            look->boot_ns; /* all is corrected: elapsed time that is left is not kept for later */
    } else {
        step_ms = step_ms > most_ms ? most_ms : -most_ms;
        time->slewed_ns += most_ms * CLOCK_SLEW_PART * MS_NS;
    }
    if (step_ms != 0) {
        set_ahead(time, signed_bits(ahead) + step_ms, ahead & ~TIME_MASK);
    }
}

/* Wall time becomes the wall clock's, to the nearest millisecond of those it is counted in. */
static void step(struct timekeeper *time, const struct look *look)
{
    /* relaxed: only this thread writes it. */
    uint64_t ahead = atomic_load_explicit(&time->wall_ahead, memory_order_relaxed);
    uint64_t steps = (ahead & ~TIME_MASK) + TIME_MASK + 1;
    int64_t off_ns = look->clock_ns - look->wall_ns;
    int64_t step_ms = (off_ns + (off_ns < 0 ? -MS_NS : MS_NS) / 2) / MS_NS;
    /* relaxed: set_ahead releases it. */
    atomic_store_explicit(&time->guard, steps, memory_order_relaxed);
    set_ahead(time, signed_bits(ahead) + step_ms, steps);
    time->slewed_ns = look->boot_ns;
}

static void doubt(struct timekeeper *time, const struct look *look)
{
    char text[SPAN_TEXT_BYTES];
    bool again = time->doubted_ms != 0;
    time->doubted_ms = look->difference_ms;
    time->agreed_ns = 0;
    time->status.steps_seen++;
    time->status.step_ms = look->difference_ms;
    time->status.step_at_ms = (uint64_t)(look->wall_ns / MS_NS);
    if (may_say(time, look->boot_ns)) {
        diag_warn("clock: the machine's clock has jumped%s: it is %s %s the engine's wall time; it "
                  "will be believed when it has stayed so for %u s",
                  again ? " again" : "", span_text(look->difference_ms, text),
                  side(look->difference_ms), CLOCK_CONFIRM_MS / 1000);
    }
}

static void doubt_gone(struct timekeeper *time, const struct look *look)
{
    char text[SPAN_TEXT_BYTES];
    if (may_say(time, look->boot_ns)) {
        diag_warn("clock: the machine's clock is right again; the jump of %s was not believed",
                  span_text(time->doubted_ms, text));
    }
    time->doubted_ms = 0;
    time->slewed_ns = look->boot_ns;
}

static void doubt_ends(struct timekeeper *time, const struct look *look)
{
    char text[SPAN_TEXT_BYTES];
    step(time, look);
    time->doubted_ms = 0;
    time->status.steps_believed++;
    if (may_say(time, look->boot_ns)) {
        diag_warn(
            "clock: the machine's clock is believed: the engine's wall time stepped %s by %s; "
            "holds last as long as before",
            look->difference_ms < 0 ? "back" : "forward", span_text(look->difference_ms, text));
    }
}

/* The wall clock has jumped, just now or before. */
static void weigh(struct timekeeper *time, const struct look *look)
{
    const int64_t most_ns = (int64_t)CLOCK_CONFIRM_STEP_MS * MS_NS;
    int64_t gone_ns = look->boot_ns - time->ticked_ns;
    if (time->doubted_ms == 0 || is_jump(look->difference_ms - time->doubted_ms)) {
        doubt(time, look);
        return;
    }
    time->agreed_ns += gone_ns < most_ns ? gone_ns : most_ns;
    if (time->agreed_ns >= (int64_t)CLOCK_CONFIRM_MS * MS_NS) {
        doubt_ends(time, look);
    }
}

void timekeeper_tick(struct timekeeper *time)
{
    struct look look = look_at(time);
    bool was_doubted = time->doubted_ms != 0;
    if (is_jump(look.difference_ms)) {
        weigh(time, &look);
    } else {
        if (was_doubted) {
            doubt_gone(time, &look);
        }
        slew(time, &look);
    }
    time->ticked_ns = look.boot_ns;
    bool doubted = time->doubted_ms != 0;
    struct time_status *status = &time->status;
    status->doubted = doubted;
    status->difference_ms = was_doubted && !doubted ? 0 : look.difference_ms;
    status->doubted_ms = doubted ? (uint64_t)(time->agreed_ns / MS_NS) : 0;
    status->confirms_ms = doubted ? CLOCK_CONFIRM_MS - status->doubted_ms : 0;
    show(time);
}

/* ---- The start ---- */

/* Finds where the wall clock's milliseconds begin, from the readings that took the least time. */
static void find_phase(struct timekeeper *time)
{
    int64_t least_ns = INT64_MAX;
    for (unsigned i = 0; i < PHASE_LOOKS; i++) {
        int64_t before_ns = (int64_t)clock_boottime_ns(time->clock);
        int64_t unix_ns = clock_ns(time);
        int64_t took_ns = (int64_t)clock_boottime_ns(time->clock) - before_ns;
        if (took_ns < least_ns) {
            int64_t off_ns = (unix_ns - before_ns - took_ns / 2) % MS_NS;
            least_ns = took_ns;
            time->phase_ns = off_ns < 0 ? off_ns + MS_NS : off_ns;
        }
    }
}

static int64_t bounded_ms(uint64_t ms)
{
    return ms < TIME_MS_MAX ? (int64_t)ms : TIME_MS_MAX;
}

static bool same_boot(const struct timekeeper *time, const struct time_past *past)
{
    return past->boot != 0 && past->boot == time->boot &&
           (uint64_t)(boot_ns(time) / MS_NS) >= past->boot_ms;
}

/* True when the wall clock is believed at once, though it differs from the log's last time.
 */
static bool believed_at_start(int64_t difference_ms, bool same, bool trust)
{
    int64_t most_ms = same ? CLOCK_SLEW_MS : CLOCK_START_AHEAD_MS;
    return trust || (difference_ms >= 0 && difference_ms <= most_ms);
}

static void say_start(const struct time_past *past, bool same, bool trust, int64_t difference_ms)
{
    char text[SPAN_TEXT_BYTES];
    if (!same) {
        diag_info("clock: the log is from before this start of the machine, or from another one: "
                  "holds last as long as they had left when it ended%s",
                  past->engine_ms ? "" : "; it was written by an older version");
    }
    if (trust && is_jump(difference_ms)) {
        diag_warn(
            "clock: the machine's clock is %s %s where the log's last time leads; it is believed "
            "because of trust-clock",
            span_text(difference_ms, text), side(difference_ms));
    }
}

/* Continues from a log's end. */
static void go_on(struct timekeeper *time, const struct time_past *past, bool trust)
{
    bool same = same_boot(time, past);
    int64_t boot_now_ms = boot_ns(time) / MS_NS;
    int64_t since_ms = same ? boot_now_ms - (int64_t)past->boot_ms : 0;
    int64_t wall_ms = bounded_ms(past->wall_ms);
    int64_t engine_ms = past->engine_ms ? bounded_ms(past->engine_ms) : wall_ms;
    time->engine_ahead_ms = engine_ms + since_ms - boot_now_ms;
    set_ahead(time, wall_ms - engine_ms, 0);
    struct look look = look_at(time);
    say_start(past, same, trust, look.difference_ms);
    if (look.difference_ms != 0 && believed_at_start(look.difference_ms, same, trust)) {
        step(time, &look);
    }
    timekeeper_tick(time);
}

void timekeeper_init(struct timekeeper *time, const struct clock *clock,
                     const struct time_past *past, bool trust)
{
    memset(time, 0, sizeof *time);
    time->clock = clock;
    time->boot = clock_boot(clock);
    CHECK(time->boot >> CLOCK_BOOT_BITS == 0);
    find_phase(time);
    time->lines_left = LINES_MAX;
    time->ticked_ns = time->slewed_ns = time->lines_ns = boot_ns(time);
    if (past->wall_ms != 0) {
        go_on(time, past, trust);
        return;
    }
    struct look look = look_at(time);
    step(time, &look);
    /* A new log: engine time begins with the wall clock's. */
    time->engine_ahead_ms = signed_bits(time->wall_ahead);
    set_ahead(time, 0, 0);
    atomic_store_explicit(&time->guard, 0, memory_order_relaxed);
}
