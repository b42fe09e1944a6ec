/* schedule.c - coroutines that change at schedule points.
 *
 * A thread of a case is a coroutine with a stack of its own, which is kept for the next case. They
 * are entered with swapcontext; later changes are _setjmp and _longjmp, which make no system call.
 * Sanitizers must know of each change of stack: in their builds swapcontext does all of it.
 *
 * Threads: all of it on one, except the hook of schedule_yields(). */
#include "lib/schedule.h"

#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <ucontext.h>

#include "base/check.h"
#include "base/test_point.h"
#include "lib/budget.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ASAN 1
#elif __has_feature(thread_sanitizer)
#define TSAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define ASAN 1
#elif defined(__SANITIZE_THREAD__)
#define TSAN 1
#endif

#if defined(ASAN)
#include <sanitizer/common_interface_defs.h>
#elif defined(TSAN)
#include <sanitizer/tsan_interface.h>
#endif

#define STACK_BYTES     (1u << 20) /* memory comes with use */
#define TRACE_POINTS    (1u << 14) /* kept */
#define TRACE_PRINTED   400u
#define CHANGES_MAX     5u
#define WAITS_ALONE_MAX 10000u
#define NOBODY          UINT32_MAX

struct coroutine {
    ucontext_t context;
    jmp_buf jump;
    void *stack;
    bool entered; /* may be changed to with _longjmp */
    bool alive;   /* its work has not ended */
    void (*work)(void *context_of_work);
    void *work_context;
    uint64_t priority;
#if defined(ASAN)
    void *fake_stack;
#elif defined(TSAN)
    void *fiber;
#endif
};

struct trace_point {
    const char *name;
    uint32_t thread;
};

/* The run that is under way. */
static struct {
    struct coroutine threads[SCHEDULE_THREADS_MAX];
    struct coroutine main;
    uint32_t count;   /* threads that were added */
    uint32_t running; /* NOBODY: the case itself */
    struct rng rng;   /* of the order alone */
    uint64_t steps;
    uint64_t all_steps; /* of the runs before this one */
    uint64_t runs;
    uint64_t one_in; /* random walk: a change once in so many points; 0: priorities */
    uint64_t changes[CHANGES_MAX];
    uint32_t change_count;
    uint64_t lowest; /* priorities below all others are given downwards */
    bool alone;      /* points are none */
    uint64_t waits_alone;
    void (*watch)(void *context, const char *point);
    void *watch_context;
    const char *case_name;
    uint64_t seed;
    struct trace_point trace[TRACE_POINTS];
#if defined(ASAN)
    const void *main_stack;
    size_t main_stack_bytes;
#endif
} run = {.running = NOBODY};

/* The thread that all coroutines are of. */
static _Thread_local bool conducted;

/* ---- What is printed when a case fails ---- */

static void trace_print(void)
{
    uint64_t from = run.steps > TRACE_PRINTED ? run.steps - TRACE_PRINTED : 0;
    uint32_t last = NOBODY;
    fprintf(stderr, "%llu points; the last ones, by thread:", (unsigned long long)run.steps);
    for (uint64_t i = from; i < run.steps; i++) {
        const struct trace_point *point = &run.trace[i % TRACE_POINTS];
        if (point->thread != last) {
            fprintf(stderr, "\n  %u:", point->thread);
            last = point->thread;
        }
        fprintf(stderr, " %s", point->name);
    }
    fprintf(stderr, "\ncase %s failed with SEED=%llu\n", run.case_name,
            (unsigned long long)run.seed);
}

_Noreturn void schedule_failed(const char *file, int line, const char *what)
{
    fprintf(stderr, "%s:%d: not so: %s\n", file, line, what);
    if (run.case_name) {
        trace_print();
    }
    fflush(NULL);
    _Exit(1);
}

void schedule_check_equal(const char *file, int line, const char *what, int64_t is,
                          int64_t expected)
{
    if (is != expected) {
        char text[200];
        snprintf(text, sizeof text, "%s is %lld, should be %lld", what, (long long)is,
                 (long long)expected);
        schedule_failed(file, line, text);
    }
}

/* A CHECK of the engine has failed, and has printed its message. */
static void on_abort(int signal_number)
{
    (void)signal_number;
    signal(SIGABRT, SIG_DFL);
    if (run.case_name) {
        trace_print();
    }
}

/* ---- Coroutines ---- */

static struct coroutine *coroutine_of(uint32_t number)
{
    return number == NOBODY ? &run.main : &run.threads[number];
}

/* Where a coroutine continues after a change to it. */
static void arrived(struct coroutine *self)
{
#if defined(ASAN)
    const void *stack;
    size_t bytes;
    __sanitizer_finish_switch_fiber(self->fake_stack, &stack, &bytes);
    if (run.main_stack == NULL) {
        run.main_stack = stack; /* the first change came from the main stack */
        run.main_stack_bytes = bytes;
    }
#else
    (void)self;
#endif
}

#if !defined(ASAN) && !defined(TSAN)
/* For good: whoever was here comes back by its own jump. */
static _Noreturn void enter(struct coroutine *to)
{
    if (to->entered) {
        _longjmp(to->jump, 1);
    }
    to->entered = true;
    setcontext(&to->context);
    abort();
}
#endif

static void change_to(uint32_t number)
{
    struct coroutine *from = coroutine_of(run.running);
    run.running = number;
#if defined(ASAN) || defined(TSAN)
    struct coroutine *to = coroutine_of(number);
#endif
#if defined(ASAN)
    __sanitizer_start_switch_fiber(&from->fake_stack, to == &run.main ? run.main_stack : to->stack,
                                   to == &run.main ? run.main_stack_bytes : STACK_BYTES);
    swapcontext(&from->context, &to->context);
#elif defined(TSAN)
    __tsan_switch_to_fiber(to->fiber, 0);
    swapcontext(&from->context, &to->context);
#else
    if (_setjmp(from->jump) == 0) {
        enter(coroutine_of(number));
    }
#endif
    arrived(from);
}

static uint32_t choose(bool waits);

/* The body of every coroutine: one work after another. */
static void live(void)
{
    arrived(coroutine_of(run.running));
    for (;;) {
        struct coroutine *self = coroutine_of(run.running);
        self->work(self->work_context);
        self->alive = false;
        change_to(choose(true));
    }
}

static void coroutine_make(struct coroutine *coroutine)
{
    coroutine->stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_NORESERVE, -1, 0);
    CHECK(coroutine->stack != MAP_FAILED);
    /* An overflow of the stack ends the program. */
    CHECK(mprotect(coroutine->stack, 4096, PROT_NONE) == 0);
    CHECK(getcontext(&coroutine->context) == 0);
    coroutine->context.uc_stack.ss_sp = coroutine->stack;
    coroutine->context.uc_stack.ss_size = STACK_BYTES;
    makecontext(&coroutine->context, live, 0);
#if defined(TSAN)
    coroutine->fiber = __tsan_create_fiber(0);
#endif
}

/* ---- Who runs next ---- */

/* One of those that live, but `not` if there is another; NOBODY when none does. */
static uint32_t choose_any(uint32_t not )
{
    uint32_t candidates[SCHEDULE_THREADS_MAX];
    uint32_t count = 0;
    for (uint32_t i = 0; i < run.count; i++) {
        if (run.threads[i].alive && i != not ) {
            candidates[count++] = i;
        }
    }
    if (count == 0) {
        return not != NOBODY && run.threads[not ].alive ? not : NOBODY;
    }
    return candidates[rng_below(&run.rng, count)];
}

static uint32_t choose_highest(void)
{
    uint32_t highest = NOBODY;
    for (uint32_t i = 0; i < run.count; i++) {
        if (run.threads[i].alive &&
            (highest == NOBODY || run.threads[i].priority > run.threads[highest].priority)) {
            highest = i;
        }
    }
    return highest;
}

/* waits: the one that runs can't get on, or has ended. */
static uint32_t choose(bool waits)
{
    if (run.one_in > 0) {
        bool change = waits || rng_chance(&run.rng, run.one_in);
        return change ? choose_any(waits ? run.running : NOBODY) : run.running;
    }
    bool lower = waits;
    for (uint32_t i = 0; i < run.change_count; i++) {
        lower = lower || run.changes[i] == run.steps;
    }
    if (lower) {
        run.threads[run.running].priority = --run.lowest;
    }
    return choose_highest();
}

static void on_point(const char *name)
{
    if (!conducted) {
        return; /* a thread of the system's that the code under test has started */
    }
    if (run.running == NOBODY || run.alone) {
        /* The case sets up, or checks its results: nobody else could end a wait. */
        run.waits_alone += name[0] == '~';
        SCHEDULE_CHECK(run.waits_alone < WAITS_ALONE_MAX);
        return;
    }
    if (run.watch) {
        void (*watch)(void *, const char *) = run.watch;
        run.watch = NULL; /* it may come to points itself */
        uint32_t running = run.running;
        run.running = NOBODY;
        watch(run.watch_context, name);
        run.running = running;
        run.watch = watch;
    }
    run.trace[run.steps % TRACE_POINTS] = (struct trace_point){name, run.running};
    run.steps++;
    SCHEDULE_CHECK(run.steps < SCHEDULE_POINTS_MAX);
    uint32_t next = choose(name[0] == '~');
    if (next != run.running) {
        change_to(next);
    }
}

void schedule_point(const char *name)
{
    test_point(name);
}

void schedule_wait(void)
{
    test_point("~test");
}

void schedule_alone(void)
{
    run.alone = true;
}

void schedule_together(void)
{
    run.alone = false;
}

void schedule_watch(void (*watch)(void *context, const char *point), void *context)
{
    run.watch = watch;
    run.watch_context = context;
}

/* ---- Cases ---- */

void schedule_add(struct schedule *schedule, void (*work)(void *context), void *context)
{
    (void)schedule;
    CHECK(run.count < SCHEDULE_THREADS_MAX);
    struct coroutine *thread = &run.threads[run.count++];
    if (!thread->stack) {
        coroutine_make(thread);
    }
    thread->work = work;
    thread->work_context = context;
    thread->alive = true;
}

void schedule_run(struct schedule *schedule)
{
    (void)schedule;
    for (uint32_t i = 0; i < run.count; i++) {
        run.threads[i].priority = rng_next(&run.rng) / 2 + UINT64_MAX / 2;
    }
    uint32_t first = run.one_in > 0 ? choose_any(NOBODY) : choose_highest();
    if (first != NOBODY) {
        change_to(first); /* comes back when all have ended */
    }
    run.count = 0;
}

/* Chooses how the order is chosen. */
static void plan_order(void)
{
    run.all_steps += run.steps;
    run.runs++;
    run.steps = 0;
    run.lowest = UINT64_MAX / 2;
    run.one_in = rng_chance(&run.rng, 2) ? rng_below(&run.rng, 4) * rng_below(&run.rng, 8) + 2 : 0;
    run.change_count = 1 + (uint32_t)rng_below(&run.rng, CHANGES_MAX);
    uint64_t length = 1ull << rng_between(&run.rng, 4, 10);
    for (uint32_t i = 0; i < run.change_count; i++) {
        run.changes[i] = rng_below(&run.rng, length);
    }
}

void schedule_anew(struct schedule *schedule)
{
    (void)schedule;
    plan_order();
}

static void run_case(const struct schedule_case *each, uint64_t seed)
{
    struct schedule schedule = {.seed = seed};
    run.case_name = each->name;
    run.seed = seed;
    run.count = 0;
    run.watch = NULL;
    run.alone = false;
    run.waits_alone = 0;
    rng_init(&schedule.rng, seed * 2 + 1);
    rng_init(&run.rng, seed * 2);
    plan_order();
    each->run(&schedule);
    run.case_name = NULL;
}

static bool is_case(const char *name, const struct schedule_case *cases, unsigned case_count)
{
    for (unsigned i = 0; i < case_count; i++) {
        if (strcmp(name, cases[i].name) == 0) {
            return true;
        }
    }
    fprintf(stderr, "there is no case %s; the cases are:\n", name);
    for (unsigned i = 0; i < case_count; i++) {
        fprintf(stderr, "  %s\n", cases[i].name);
    }
    return false;
}

int schedule_main(int argc, char **argv, const struct schedule_case *cases, unsigned case_count,
                  uint64_t floor, double seconds, uint64_t many)
{
    signal(SIGABRT, on_abort);
    /* A case touches few pages of large tables: clearing 2 MiB for each would be most of the work.
     * Where that is not allowed the cases are only slower. */
    (void)prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
    test_point_set(on_point);
#if defined(TSAN)
    run.main.fiber = __tsan_get_current_fiber();
#endif
    run.main.entered = true;
    conducted = true;
    if (argc > 1 && !is_case(argv[1], cases, case_count)) {
        return 2;
    }
#if defined(ASAN) || defined(TSAN)
    floor = (floor + 9) / 10; /* a change of coroutine is many times slower there */
    many = (many + 9) / 10;
#endif
    struct budget budget = budget_make("rounds of all cases", floor, seconds, many);
    while (budget_next(&budget)) {
        for (unsigned i = 0; i < case_count; i++) {
            if (argc >= 2 && strcmp(argv[1], cases[i].name) != 0) {
                continue;
            }
            run_case(&cases[i], rng_seed_from_env(budget.round));
        }
    }
    printf("%u cases, %llu interleavings, %llu points\n", argc < 2 ? case_count : 1,
           (unsigned long long)run.runs, (unsigned long long)(run.all_steps + run.steps));
    return 0;
}

/* ---- Yields ---- */

static uint64_t yield_seed;
static uint64_t yield_one_in;

static void on_point_yield(const char *name)
{
    static _Thread_local struct rng rng;
    static _Thread_local bool ready;
    static _Atomic uint64_t threads;
    if (!ready) {
        /* relaxed: only a number. */
        uint64_t number = atomic_fetch_add_explicit(&threads, 1, memory_order_relaxed);
        rng_init(&rng, yield_seed * 1000 + number);
        ready = true;
    }
    if (name[0] == '~' || rng_chance(&rng, yield_one_in)) {
        sched_yield();
    }
}

void schedule_yields(uint64_t seed, uint64_t one_in)
{
    yield_seed = seed;
    yield_one_in = one_in;
    test_point_set(on_point_yield);
}
