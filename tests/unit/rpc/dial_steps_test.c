/* dial_steps_test.c - a peer that is slow, or goes, at each step of a connection's beginning, while
 * the client is closed, a call's time is over, another call comes or one is taken back: at the very
 * moment at which one of the client's threads is between two steps (base/test_point.h).
 *
 * Nothing hangs, each call ends once, and afterwards no descriptor and no memory is left. In every
 * second round signals interrupt the caller all the time.
 *
 * Threads: the caller; the peer; nng's, of which one is held. */
#include "unit/rpc/echo.h"

#include <dirent.h>
#include <malloc.h>
#include <signal.h>
#include <string.h>
#include <sys/time.h>

#include "base/test_point.h"
#include "lib/budget.h"
#include "lib/rng.h"

#define SLOW_MS  12u /* more than a tick of the client's */
#define SHORT_MS 15u /* a call's timeout */
#define COME_MS  40u /* a thread comes to its point by then, or it does not in this round */

/* ---- The peer ---- */

enum manner {
    MANNER_SERVES,
    MANNER_TAKES_LATE,
    MANNER_SILENT,
    MANNER_HALF_GREETS,
    MANNER_GREETS_BY_BYTES,
    MANNER_HANGS_UP,
    MANNER_HALF_GREETS_HANGS_UP,
    MANNER_GREETS_HANGS_UP,
    MANNER_ANSWERS_HALF,
    MANNERS
};

struct peer {
    int listening;
    char url[64];
    _Atomic enum manner manner; /* of the connections to come */
    bool reset;                 /* it hangs up with one */
    atomic_bool stop;
    pthread_t thread;
};

static bool is_readable(int fd, int ms)
{
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    return poll(&wait, 1, ms) == 1;
}

/* Answers with what was asked, whole messages or their halves, until it is hung up on. */
static void peer_serve(struct peer *peer, int fd, bool half)
{
    uint8_t in[4096];
    size_t have = 0;
    while (!atomic_load(&peer->stop)) {
        if (!is_readable(fd, 2)) {
            if (atomic_load(&peer->manner) == MANNER_SERVES && half) {
                return;
            }
            continue;
        }
        ssize_t n = recv(fd, in + have, sizeof in - have, 0);
        if (n <= 0) {
            return;
        }
        have += (size_t)n;
        while (have >= 8 && have >= 8u + in[7]) {
            size_t whole = 8u + in[7];
            (void)send(fd, in, half ? whole / 2 : whole, MSG_NOSIGNAL);
            if (half) {
                return;
            }
            have -= whole;
            memmove(in, in + whole, have);
        }
    }
}

/* Says nothing more until it is to serve others. */
static void peer_wait(struct peer *peer, int fd)
{
    uint8_t byte;
    while (!atomic_load(&peer->stop) && atomic_load(&peer->manner) != MANNER_SERVES) {
        if (is_readable(fd, 2) && recv(fd, &byte, 1, MSG_PEEK) <= 0) {
            return;
        }
        sleep_ms(1);
    }
}

static void peer_connection(struct peer *peer, int fd, enum manner manner)
{
    static const uint8_t greeting[8] = {0, 'S', 'P', 0, 0, 0x31, 0, 0};
    uint8_t got[8];
    size_t first = manner == MANNER_SILENT || manner == MANNER_HANGS_UP                    ? 0
                   : manner == MANNER_HALF_GREETS || manner == MANNER_HALF_GREETS_HANGS_UP ? 4
                                                                                           : 8;
    for (size_t i = 0; i < first; i++) {
        bool slow = manner == MANNER_GREETS_BY_BYTES;
        sleep_ms(slow ? SLOW_MS / 4 : 0);
        (void)send(fd, greeting + i, slow ? 1 : first, MSG_NOSIGNAL);
        i += slow ? 0 : first;
    }
    switch (manner) {
    case MANNER_SILENT:
    case MANNER_HALF_GREETS:
        peer_wait(peer, fd);
        break;
    case MANNER_HANGS_UP:
    case MANNER_HALF_GREETS_HANGS_UP:
    case MANNER_GREETS_HANGS_UP:
        break;
    default:
        if (recv(fd, got, sizeof got, MSG_WAITALL) == sizeof got) {
            peer_serve(peer, fd, manner == MANNER_ANSWERS_HALF);
        }
    }
}

static void *peer_run(void *arg)
{
    struct peer *peer = arg;
    while (!atomic_load(&peer->stop)) {
        if (!is_readable(peer->listening, 2)) {
            continue;
        }
        enum manner manner = atomic_load(&peer->manner);
        sleep_ms(manner == MANNER_TAKES_LATE ? SLOW_MS : 0);
        int fd = accept(peer->listening, NULL, NULL);
        if (fd >= 0) {
            struct timeval patience = {patience_ms() / 1000, 0};
            (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
            peer_connection(peer, fd, manner);
            raw_close(fd, peer->reset);
        }
    }
    return NULL;
}

/* ---- A thread that is held ---- */

static _Atomic(const char *) held_point;
static atomic_uint passes; /* by the point, before one is held */
static atomic_bool holding;
static atomic_uint held;

static void hold(const char *name)
{
    const char *point = atomic_load(&held_point);
    if (!point || strcmp(name, point) != 0 || atomic_fetch_sub(&passes, 1) != 1) {
        return;
    }
    atomic_fetch_add(&held, 1);
    while (atomic_load(&holding)) {
        sleep_ms(1);
    }
    atomic_fetch_sub(&held, 1);
}

/* ---- A round ---- */

enum event { EVENT_CLOSE, EVENT_TIMEOUT, EVENT_CALL, EVENT_FORGET, EVENTS };

static const char *const points[] = {"client_dialed", "client_dialed: start", "client_down",
                                     "client_ticked", "link_down"};
#define POINTS (sizeof points / sizeof points[0])

static void *close_client(void *arg)
{
    transport_client_close(arg);
    return NULL;
}

/* Closes it while the thread is held, and for some time longer. */
static void close_while_held(struct transport_client *client)
{
    pthread_t closer;
    assert_int_equal(pthread_create(&closer, NULL, close_client, client), 0);
    sleep_ms(3);
    atomic_store(&holding, false);
    pthread_join(closer, NULL);
}

static void wait_ended(struct result *result, uint64_t seed)
{
    uint64_t until = patience_until();
    while (atomic_load_explicit(&result->times, memory_order_acquire) == 0) {
        if (now_ms() >= until) {
            fail_msg("SEED=%llu: a call does not end", (unsigned long long)seed);
        }
        sleep_ms(1);
    }
}

static void round_run(uint64_t seed)
{
    struct rng rng;
    struct peer peer = {0};
    rng_init(&rng, seed);
    /* Each event meets each point within the floor's rounds; the peer's manner is chance. */
    enum event event = (enum event)(seed % EVENTS);
    const char *point = points[seed / EVENTS % POINTS];
    peer.listening = raw_listen(peer.url);
    peer.reset = rng_chance(&rng, 2);
    atomic_store(&peer.manner, (enum manner)rng_below(&rng, MANNERS));
    assert_int_equal(pthread_create(&peer.thread, NULL, peer_run, &peer), 0);
    atomic_store(&held_point, point);
    atomic_store(&passes, (unsigned)rng_between(&rng, 1, 2));
    atomic_store(&holding, true);

    struct transport_client *client = client_of(peer.url);
    struct result patient;
    struct result hasty;
    struct result other;
    bool has_other = false;
    bool forgotten = false;
    assert_int_equal(result_start(&patient, client, bytes_of("p"), 10 * PATIENCE_MS), HF_OK);
    assert_int_equal(result_start(&hasty, client, bytes_of("h"), SHORT_MS), HF_OK);
    for (uint64_t until = now_ms() + COME_MS; atomic_load(&held) == 0 && now_ms() < until;) {
        sleep_ms(1);
    }
    if (event == EVENT_CLOSE) {
        close_while_held(client);
    } else {
        if (event == EVENT_CALL) {
            has_other = true;
            assert_int_equal(result_start(&other, client, bytes_of("o"), 10 * PATIENCE_MS), HF_OK);
        } else if (event == EVENT_FORGET) {
            forgotten = transport_client_forget(client, &patient.call);
        }
        sleep_ms(event == EVENT_TIMEOUT ? SHORT_MS : 1);
        atomic_store(&peer.manner, MANNER_SERVES);
        atomic_store(&holding, false);
        if (!forgotten) { /* it finds the peer that serves */
            wait_ended(&patient, seed);
            assert_int_equal(patient.status, HF_OK);
            assert_int_equal(patient.reply[0], 'p');
        }
        if (has_other) {
            wait_ended(&other, seed);
            assert_int_equal(other.status, HF_OK);
            assert_int_equal(other.reply[0], 'o');
        }
        transport_client_close(client);
    }
    assert_int_equal(atomic_load(&patient.times), forgotten ? 0 : 1);
    assert_int_equal(atomic_load(&hasty.times), 1);
    assert_int_equal(has_other ? atomic_load(&other.times) : 1, 1);
    atomic_store(&held_point, NULL);
    atomic_store(&peer.stop, true);
    pthread_join(peer.thread, NULL);
    (void)close(peer.listening);
}

/* ---- What is left ---- */

static unsigned open_files(void)
{
    unsigned count = 0;
    DIR *dir = opendir("/proc/self/fd");
    assert_non_null(dir);
    while (readdir(dir)) {
        count++;
    }
    closedir(dir);
    return count;
}

/* Bytes that are allocated; 0 where a sanitizer has its own memory, and counts itself. */
static size_t memory_bytes(void)
{
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

static void no_action(int number)
{
    (void)number;
}

static void interrupt_each_ms(bool on)
{
    struct sigaction action = {.sa_handler = no_action}; /* without SA_RESTART */
    struct itimerval each = {.it_interval = {0, on ? 1000 : 0}, .it_value = {0, on ? 1000 : 0}};
    (void)sigaction(SIGALRM, &action, NULL);
    (void)setitimer(ITIMER_REAL, &each, NULL);
}

#define WARM_ROUNDS 20u
#define LEFT_MAX    500u /* bytes a round: less than one connection takes */

static void client_leaves_nothing_whenever_it_is_interrupted(void **state)
{
    (void)state;
    uint64_t first = rng_seed_from_env(0);
    unsigned files = 0;
    size_t bytes = 0;
    uint64_t rounds = 0;
    test_point_set(hold);
    struct budget budget = budget_make("dials", 60, 5.0, 20000);
    while (budget_next(&budget)) {
        if (budget.round == WARM_ROUNDS) {
            files = open_files();
            bytes = memory_bytes();
        }
        interrupt_each_ms(budget.round % 2 == 1);
        round_run(first + budget.round);
        interrupt_each_ms(false);
        rounds = budget.round + 1;
    }
    test_point_set(NULL);
    if (rounds <= WARM_ROUNDS) {
        return;
    }
    /* nng frees some of it on a thread of its own. */
    uint64_t until = patience_until();
    size_t allowed = bytes + (rounds - WARM_ROUNDS) * LEFT_MAX;
    while (open_files() > files || memory_bytes() > allowed) {
        if (now_ms() >= until) {
            fail_msg("%u files are open after %llu rounds, and were %u; %zu bytes, and were %zu",
                     open_files(), (unsigned long long)rounds, files, memory_bytes(), bytes);
        }
        sleep_ms(5);
    }
    print_message("%zd bytes more after %llu rounds\n", (ssize_t)(memory_bytes() - bytes),
                  (unsigned long long)rounds);
}

extern atomic_uint_fast64_t timing_shift_ms; /* timing.h's: lets time pass */

#define CLOSE_MS 1000u /* that closing waits for connections: transport_dial.c's */

/* Closed while a connection of it has not ended, it goes with that one. */
static void client_that_is_closed_too_soon_frees_itself(void **state)
{
    (void)state;
    struct peer peer = {0};
    size_t bytes = 0;
    enum { TIMES = 30, WARM = 10, LEFT = 500 };
    peer.listening = raw_listen(peer.url);
    assert_int_equal(pthread_create(&peer.thread, NULL, peer_run, &peer), 0);
    test_point_set(hold);
    for (unsigned i = 0; i < TIMES; i++) {
        uint64_t until = patience_until();
        pthread_t closer;
        bytes = i == WARM ? memory_bytes() : bytes;
        struct transport_client *client = client_of(peer.url);
        wait_connected(client, 1);
        atomic_store(&passes, 1);
        atomic_store(&holding, true);
        atomic_store(&held_point, "client_down");
        assert_int_equal(pthread_create(&closer, NULL, close_client, client), 0);
        while (atomic_load(&held) == 0) {
            assert_true(now_ms() < until);
            sleep_ms(1);
        }
        sleep_ms(2);
        atomic_fetch_add(&timing_shift_ms, CLOSE_MS);
        pthread_join(closer, NULL);
        atomic_store(&holding, false);
        while (atomic_load(&held) > 0) {
            assert_true(now_ms() < until);
            sleep_ms(1);
        }
    }
    test_point_set(NULL);
    uint64_t until = patience_until();
    while (memory_bytes() > bytes + (TIMES - WARM) * LEFT) {
        if (now_ms() >= until) {
            fail_msg("%zu bytes are left, and were %zu", memory_bytes(), bytes);
        }
        sleep_ms(5);
    }
    atomic_store(&peer.stop, true);
    pthread_join(peer.thread, NULL);
    (void)close(peer.listening);
}

/* Starts the program again without what each thread keeps of freed memory: that counts as
 * allocated, and grows with the number of nng's threads that have had something to do. */
static void start_without_caches(char **arguments)
{
    static const char tunables[] = "glibc.malloc.tcache_count=0";
    const char *set = getenv("GLIBC_TUNABLES");
    if (!set || strcmp(set, tunables) != 0) {
        (void)setenv("GLIBC_TUNABLES", tunables, 1);
        (void)execv("/proc/self/exe", arguments);
    }
}

int main(int count, char **arguments)
{
    (void)count;
    start_without_caches(arguments);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(client_that_is_closed_too_soon_frees_itself),
        cmocka_unit_test(client_leaves_nothing_whenever_it_is_interrupted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
