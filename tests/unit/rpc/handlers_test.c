/* handlers_test.c - requests that wait while all handlers are busy: in which order they are
 * handled, which are refused and when, what a pause lets in between, and what becomes of them when
 * their client or the server goes.
 *
 * A request says what its handler does. Its first letter: 'e' answers at once; 'g' waits at the
 * gate and answers; 'p' waits at the gate, pauses, waits at the second gate, and answers; 'q'
 * pauses and answers; 'h' is held, for the test to answer; 'b' gets a long answer. Its second
 * letter is its class: 'o', 'f' or 'n'. 'L' after that: it costs much. 't' and a number: its
 * timeout_ms.
 *
 * Time: where something must have waited for long, the clock is moved (timing_shift_ms). */
#include "unit/rpc/echo.h"

#include <stdbool.h>
#include <string.h>

#include "rpc/link.h"
#include "rpc/timing.h"
#include "rpc/turns.h"

#define NS_PER_MS  1000000u
#define HOUR_MS    3600000u
#define NOTES_MAX  8192u
#define LONG_BYTES ((size_t)12 << 20) /* an answer that fills what a socket and an outbox hold */

/* What was handled, in this order. */
struct note {
    char text[12]; /* the request's first letters; of 'q', another with '.' when it has paused */
    pthread_t thread;
    uint64_t received_ns;
};

struct desk {
    struct transport_server *server;
    char url[256];
    uint8_t *zeros;
    pthread_mutex_t lock; /* all below */
    pthread_cond_t wake;
    unsigned gates_open; /* so many of the gates are open: 0 to 2 */
    unsigned at_gate[3]; /* handlers that have come to it */
    bool refusal_waits;  /* refusals wait until this is over */
    unsigned at_refusal;
    struct transport_exchange *held[128];
    unsigned held_count;
    struct note notes[NOTES_MAX];
    unsigned note_count;
};

/* ---- The server ---- */

static void note_add(struct desk *desk, struct transport_exchange *exchange, bool ended)
{
    struct bytes body = transport_exchange_body(exchange);
    pthread_mutex_lock(&desk->lock);
    assert_true(desk->note_count < NOTES_MAX);
    struct note *note = &desk->notes[desk->note_count++];
    *note = (struct note){.thread = pthread_self(),
                          .received_ns = transport_exchange_received_ns(exchange)};
    size_t len = body.len < sizeof note->text - 2 ? body.len : sizeof note->text - 2;
    memcpy(note->text, body.data, len);
    note->text[len] = ended ? '.' : '\0';
    pthread_mutex_unlock(&desk->lock);
}

static void gate_wait(struct desk *desk, unsigned gate)
{
    pthread_mutex_lock(&desk->lock);
    desk->at_gate[gate]++;
    while (desk->gates_open < gate) {
        pthread_cond_wait(&desk->wake, &desk->lock);
    }
    pthread_mutex_unlock(&desk->lock);
}

static void desk_handle(void *context, struct transport_exchange *exchange)
{
    struct desk *desk = context;
    struct bytes body = transport_exchange_body(exchange);
    char what = (char)body.data[0];
    note_add(desk, exchange, false);
    if (what == 'g' || what == 'p') {
        gate_wait(desk, 1);
    }
    if (what == 'p' || what == 'q') {
        transport_pause(exchange);
        note_add(desk, exchange, true);
    }
    if (what == 'p') {
        gate_wait(desk, 2);
    }
    if (what == 'h') {
        pthread_mutex_lock(&desk->lock);
        assert_true(desk->held_count < 128);
        desk->held[desk->held_count++] = exchange;
        pthread_mutex_unlock(&desk->lock);
        return;
    }
    transport_reply(exchange, what == 'b' ? (struct bytes){desk->zeros, LONG_BYTES} : body);
}

static size_t desk_refuse(void *context, enum transport_refusal why, uint32_t retry_ms,
                          uint8_t reply[TRANSPORT_REFUSAL_BYTES_MAX])
{
    static const char *const words[] = {"crowd", "overload", "late"};
    struct desk *desk = context;
    assert_true(retry_ms >= 1);
    pthread_mutex_lock(&desk->lock);
    desk->at_refusal++;
    while (desk->refusal_waits) {
        pthread_cond_wait(&desk->wake, &desk->lock);
    }
    pthread_mutex_unlock(&desk->lock);
    size_t len = strlen(words[why]);
    memcpy(reply, words[why], len);
    return len;
}

static struct transport_kind desk_classify(void *context, struct bytes body)
{
    (void)context;
    char text[32] = "";
    memcpy(text, body.data, body.len < sizeof text ? body.len : sizeof text - 1);
    struct transport_kind kind = {.class = TRANSPORT_NEW};
    kind.class = text[1] == 'o'   ? TRANSPORT_OPERATOR
                 : text[1] == 'f' ? TRANSPORT_FINISH
                                  : TRANSPORT_NEW;
    kind.extra_cost = text[2] == 'L' ? TURN_SMALL_COST : 0;
    const char *timeout = strchr(text, 't');
    kind.timeout_ms = timeout ? (uint32_t)strtoul(timeout + 1, NULL, 10) : 0;
    return kind;
}

static struct desk *desk_open(struct transport_server_options options)
{
    struct desk *desk = calloc(1, sizeof *desk);
    assert_non_null(desk);
    pthread_mutex_init(&desk->lock, NULL);
    pthread_cond_init(&desk->wake, NULL);
    options.contexts = options.contexts ? options.contexts : 128;
    options.per_connection = options.per_connection ? options.per_connection : 10000;
    options.message_bytes_max = MESSAGE_BYTES;
    options.send_timeout_ms = (int)(100 * HOUR_MS); /* the clock is moved by hours */
    options.handle = desk_handle;
    options.refuse = desk_refuse;
    options.classify = desk_classify;
    options.context = desk;
    assert_int_equal(transport_server_open(&desk->server, &options), HF_OK);
    assert_int_equal(
        transport_server_listen(desk->server, "tcp://127.0.0.1:0", desk->url, sizeof desk->url),
        HF_OK);
    return desk;
}

static void desk_open_gates(struct desk *desk, unsigned gates)
{
    pthread_mutex_lock(&desk->lock);
    desk->gates_open = gates;
    pthread_cond_broadcast(&desk->wake);
    pthread_mutex_unlock(&desk->lock);
}

static void desk_close(struct desk *desk)
{
    desk_open_gates(desk, 2);
    transport_server_close(desk->server);
    pthread_cond_destroy(&desk->wake);
    pthread_mutex_destroy(&desk->lock);
    free(desk->zeros);
    free(desk);
}

static struct transport_server_stats desk_stats(const struct desk *desk)
{
    struct transport_server_stats stats;
    transport_server_stats(desk->server, &stats);
    return stats;
}

static unsigned desk_at_gate(struct desk *desk, unsigned gate)
{
    pthread_mutex_lock(&desk->lock);
    unsigned count = desk->at_gate[gate];
    pthread_mutex_unlock(&desk->lock);
    return count;
}

static unsigned desk_at_refusal(struct desk *desk)
{
    pthread_mutex_lock(&desk->lock);
    unsigned count = desk->at_refusal;
    pthread_mutex_unlock(&desk->lock);
    return count;
}

#define WAIT_FOR(condition)                                                                        \
    do {                                                                                           \
        uint64_t until = patience_until();                                                         \
        while (!(condition)) {                                                                     \
            assert_true(now_ms() < until);                                                         \
            sleep_ms(1);                                                                           \
        }                                                                                          \
    } while (0)

static void desk_wait_waiting(const struct desk *desk, uint64_t count)
{
    WAIT_FOR(desk_stats(desk).waiting == count);
}

/* The position of a note, the first that begins so. */
static unsigned note_of(struct desk *desk, const char *text)
{
    pthread_mutex_lock(&desk->lock);
    unsigned at = 0;
    while (at < desk->note_count && strncmp(desk->notes[at].text, text, strlen(text)) != 0) {
        at++;
    }
    bool found = at < desk->note_count;
    pthread_mutex_unlock(&desk->lock);
    if (!found) {
        fail_msg("%s was not handled", text);
    }
    return at;
}

/* Reading what threads wrote under the lock, when they may still write more. */
static struct note note_at(struct desk *desk, unsigned at)
{
    pthread_mutex_lock(&desk->lock);
    assert_true(at < desk->note_count);
    struct note note = desk->notes[at];
    pthread_mutex_unlock(&desk->lock);
    return note;
}

static unsigned note_count(struct desk *desk)
{
    pthread_mutex_lock(&desk->lock);
    unsigned count = desk->note_count;
    pthread_mutex_unlock(&desk->lock);
    return count;
}

/* ---- Connections ---- */

static int join(const struct desk *desk)
{
    int fd = raw_dial(desk->url);
    raw_handshake(fd);
    return fd;
}

/* Writes a message into a buffer. Returns its length. */
static size_t put(uint8_t *at, const char *text, size_t body_bytes)
{
    raw_head(at, body_bytes);
    memset(at + 12, ' ', body_bytes);
    memcpy(at + 12, text, strlen(text));
    return 12 + body_bytes;
}

/* A request of so many bytes. */
static void say_long(int fd, const char *text, size_t body_bytes)
{
    uint8_t *message = malloc(12 + body_bytes);
    assert_non_null(message);
    size_t len = put(message, text, body_bytes);
    raw_send(fd, message, len);
    free(message);
}

static void say(int fd, const char *text)
{
    say_long(fd, text, strlen(text));
}

/* The next answer begins so. */
static void hear(int fd, const char *text)
{
    uint8_t head[12];
    char body[64] = "";
    raw_receive(fd, head, sizeof head);
    size_t left = 0;
    for (int i = 0; i < 8; i++) {
        left = left << 8 | head[i];
    }
    left -= 4;
    assert_true(left >= strlen(text));
    size_t some = left < sizeof body - 1 ? left : sizeof body - 1;
    raw_receive(fd, body, some);
    assert_memory_equal(body, text, strlen(text));
    for (left -= some; left > 0; left -= some) {
        char rest[4096];
        some = left < sizeof rest ? left : sizeof rest;
        raw_receive(fd, rest, some);
    }
}

/* Nothing comes for a while. Never fails for being slow. */
static void hear_nothing(int fd)
{
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&wait, 1, 50), 0);
}

/* A handler waits at the gate. `text`: "gn" on the thread that has read it, "gnL" on another. */
static int block(struct desk *desk, const char *text)
{
    unsigned before = desk_at_gate(desk, 1);
    int fd = join(desk);
    say(fd, text);
    WAIT_FOR(desk_at_gate(desk, 1) == before + 1);
    return fd;
}

static void clock_move(uint64_t ms)
{
    atomic_fetch_add(&timing_shift_ms, ms);
}

/* ---- All handlers are busy ---- */

static void time_counts_from_the_socket_while_all_handlers_are_busy(void **state)
{
    (void)state;
    struct desk *desk = desk_open((struct transport_server_options){.handlers = 2});
    int busy[2] = {block(desk, "gn"), block(desk, "gnL")};
    uint64_t before_ns = timing_now_ns();
    int fd = join(desk); /* with its handshake */
    say(fd, "en");
    desk_wait_waiting(desk, 1);
    uint64_t opened_ns = timing_now_ns();
    desk_open_gates(desk, 1);
    hear(fd, "en");
    uint64_t received_ns = note_at(desk, note_of(desk, "en")).received_ns;
    assert_true(received_ns >= before_ns);
    assert_true(received_ns <= opened_ns);
    for (int i = 0; i < 2; i++) {
        hear(busy[i], "gn");
        (void)close(busy[i]);
    }
    (void)close(fd);
    desk_close(desk);
}

static void check_late(const char *blocker)
{
    struct desk *desk = desk_open((struct transport_server_options){.handlers = 2});
    int busy[2] = {block(desk, blocker), block(desk, blocker)};
    int fd = join(desk);
    say(fd, "en t20");
    int other = join(desk);
    say(other, "en");
    hear(fd, "late"); /* the handlers are still busy */
    desk_wait_waiting(desk, 1);
    assert_int_equal(desk_stats(desk).refused_late, 1);
    assert_int_equal(note_count(desk), 2);
    desk_open_gates(desk, 1);
    hear(other, "en");
    assert_int_equal(desk_stats(desk).requests, 3);
    (void)close(busy[0]);
    (void)close(busy[1]);
    (void)close(fd);
    (void)close(other);
    desk_close(desk);
}

static void what_is_late_is_refused_while_all_handlers_are_busy(void **state)
{
    (void)state;
    check_late("gn");
    check_late("gnL");
}

/* With the clock moved: the target and the interval are an hour. */
static void overload_refuses_new_requests_first(void **state)
{
    (void)state;
    struct desk *desk = desk_open(
        (struct transport_server_options){.handlers = 1,
                                          .queue_target_ns = (uint64_t)HOUR_MS * NS_PER_MS,
                                          .queue_interval_ns = (uint64_t)HOUR_MS * NS_PER_MS});
    int busy = block(desk, "gn");
    int fd[3] = {join(desk), join(desk), join(desk)};
    say(fd[0], "eo");
    say(fd[1], "ef");
    say(fd[2], "en");
    desk_wait_waiting(desk, 3);
    assert_false(desk_stats(desk).overloaded);
    clock_move(4 * HOUR_MS + HOUR_MS / 2); /* the only one of a connection may wait four */
    hear(fd[2], "overload");
    assert_int_equal(desk_stats(desk).waiting, 2);
    assert_int_equal(desk_stats(desk).refused_overload, 1);
    say(fd[2], "en"); /* this one waits for its own hours */
    desk_wait_waiting(desk, 3);
    clock_move(9 * HOUR_MS);
    hear(fd[0], "overload");
    hear(fd[1], "overload");
    hear(fd[2], "overload");
    assert_int_equal(desk_stats(desk).waiting, 0);
    desk_open_gates(desk, 1);
    hear(busy, "gn");
    assert_int_equal(note_count(desk), 1);
    (void)close(busy);
    for (int i = 0; i < 3; i++) {
        (void)close(fd[i]);
    }
    desk_close(desk);
}

static void classes_come_in_order(void **state)
{
    (void)state;
    struct desk *desk = desk_open((struct transport_server_options){.handlers = 1});
    int busy = block(desk, "gn");
    int fd[3] = {join(desk), join(desk), join(desk)};
    static const char *const texts[3] = {"en", "ef", "eo"};
    for (unsigned i = 0; i < 3; i++) {
        say(fd[i], texts[i]);
        desk_wait_waiting(desk, i + 1);
    }
    desk_open_gates(desk, 1);
    for (unsigned i = 0; i < 3; i++) {
        hear(fd[i], texts[i]);
        (void)close(fd[i]);
    }
    assert_true(note_of(desk, "eo") < note_of(desk, "ef"));
    assert_true(note_of(desk, "ef") < note_of(desk, "en"));
    (void)close(busy);
    desk_close(desk);
}

/* New requests don't take the last exchanges. */
static void exchanges_are_kept_for_who_ends_work(void **state)
{
    (void)state;
    struct desk *desk = desk_open((struct transport_server_options){.handlers = 1, .contexts = 16});
    int fd = join(desk);
    for (unsigned i = 0; i < 20; i++) {
        say(fd, "hn");
    }
    int other = join(desk);
    desk_wait_waiting(desk, 6); /* 14 are held */
    say(other, "ef");
    hear(other, "ef");
    say(other, "eo");
    hear(other, "eo");
    assert_int_equal(desk_stats(desk).waiting, 6);
    (void)close(fd);
    (void)close(other);
    desk_close(desk);
}

static void modest_client_waits_for_few_turns(void **state)
{
    (void)state;
    enum { GREEDY = 6, EACH = 50 };
    struct desk *desk = desk_open((struct transport_server_options){.handlers = 1});
    int busy = block(desk, "gn");
    int fd[GREEDY];
    for (unsigned i = 0; i < GREEDY; i++) {
        fd[i] = join(desk);
        for (unsigned k = 0; k < EACH; k++) {
            say_long(fd[i], "en greedy", TURN_QUANTUM / 2);
        }
    }
    desk_wait_waiting(desk, GREEDY * EACH);
    int modest = join(desk);
    say(modest, "en modest");
    desk_wait_waiting(desk, GREEDY * EACH + 1);
    desk_open_gates(desk, 1);
    hear(modest, "en modest");
    assert_true(note_of(desk, "en modest") <= 1 + 2 * GREEDY); /* each has two in a round */
    for (unsigned i = 0; i < GREEDY; i++) {
        for (unsigned k = 0; k < EACH; k++) {
            hear(fd[i], "en greedy");
        }
        (void)close(fd[i]);
    }
    assert_int_equal(note_count(desk), 2 + GREEDY * EACH);
    (void)close(modest);
    (void)close(busy);
    desk_close(desk);
}

static void crowd_is_refused_at_once_and_others_are_not_touched(void **state)
{
    (void)state;
    struct desk *desk =
        desk_open((struct transport_server_options){.handlers = 1, .per_connection = 4});
    int busy = block(desk, "gn");
    int fd = join(desk);
    int other = join(desk);
    say(other, "en other");
    for (unsigned i = 0; i < 4; i++) {
        say(fd, "en");
    }
    desk_wait_waiting(desk, 5);
    say(fd, "en");
    hear(fd, "crowd");
    say(fd, "en");
    hear(fd, "crowd");
    assert_int_equal(desk_stats(desk).waiting, 5);
    assert_int_equal(desk_stats(desk).refused_crowd, 2);
    assert_int_equal(note_count(desk), 1);
    desk_open_gates(desk, 1);
    hear(other, "en other");
    for (unsigned i = 0; i < 4; i++) {
        hear(fd, "en");
    }
    say(fd, "en"); /* there is room again */
    hear(fd, "en");
    assert_int_equal(desk_stats(desk).disconnected, 0);
    (void)close(busy);
    (void)close(fd);
    (void)close(other);
    desk_close(desk);
}

/* ---- Pauses ---- */

static void pause_lets_small_requests_of_others_in_between(void **state)
{
    (void)state;
    struct desk *desk = desk_open((struct transport_server_options){.handlers = 1});
    int busy = block(desk, "gn");
    uint8_t both[64];
    size_t len = put(both, "en first", 8);
    len += put(both + len, "pn", 2);
    int outer = join(desk);
    raw_send(outer, both, len); /* one turn */
    desk_wait_waiting(desk, 2);
    int large = join(desk);
    say(large, "enL");
    desk_wait_waiting(desk, 3);
    int inner = join(desk);
    say(inner, "qn"); /* its own pause does nothing */
    desk_wait_waiting(desk, 4);
    int last = join(desk);
    say(last, "en last");
    desk_wait_waiting(desk, 5);
    desk_open_gates(desk, 1);
    hear(outer, "en first");
    hear(inner, "qn");
    hear(last, "en last");
    WAIT_FOR(desk_at_gate(desk, 2) == 1); /* the outer one is not answered yet */
    assert_int_equal(desk_stats(desk).waiting, 1);
    static const char *const order[] = {"gn", "en first", "pn", "qn", "qn.", "en last", "pn."};
    assert_int_equal(note_count(desk), 7);
    for (unsigned i = 0; i < 7; i++) {
        struct note note = note_at(desk, i);
        assert_string_equal(note.text, order[i]);
        assert_true(i < 3 || pthread_equal(note.thread, note_at(desk, 2).thread));
    }
    desk_open_gates(desk, 2);
    hear(outer, "pn");
    hear(large, "enL");
    hear(busy, "gn");
    assert_int_equal(note_of(desk, "enL"), 7);
    (void)close(busy);
    (void)close(outer);
    (void)close(large);
    (void)close(inner);
    (void)close(last);
    desk_close(desk);
}

/* What was answered before the pause has left when the first that is let in is handled. */
static void pause_sends_what_is_answered_already(void **state)
{
    (void)state;
    struct desk *desk = desk_open((struct transport_server_options){.handlers = 1});
    int busy = block(desk, "gn");
    uint8_t both[64];
    size_t len = put(both, "en first", 8);
    len += put(both + len, "qn", 2);
    int outer = join(desk);
    raw_send(outer, both, len);
    desk_wait_waiting(desk, 2);
    int inner = join(desk);
    say(inner, "pn"); /* stays at the second gate */
    desk_wait_waiting(desk, 3);
    desk_open_gates(desk, 1);
    hear(outer, "en first");
    WAIT_FOR(desk_at_gate(desk, 2) == 1);
    hear_nothing(outer);
    desk_open_gates(desk, 2);
    hear(outer, "qn");
    hear(inner, "pn");
    (void)close(busy);
    (void)close(outer);
    (void)close(inner);
    desk_close(desk);
}

/* ---- Gathering ---- */

static void desk_answer_held(struct desk *desk, unsigned from, unsigned to)
{
    for (unsigned i = from; i < to; i++) {
        pthread_mutex_lock(&desk->lock);
        struct transport_exchange *exchange = desk->held[i];
        pthread_mutex_unlock(&desk->lock);
        transport_reply(exchange, transport_exchange_body(exchange));
    }
}

static unsigned desk_held(struct desk *desk)
{
    pthread_mutex_lock(&desk->lock);
    unsigned count = desk->held_count;
    pthread_mutex_unlock(&desk->lock);
    return count;
}

static void gathered_answers_leave_at_the_end(void **state)
{
    (void)state;
    struct desk *desk = desk_open((struct transport_server_options){.handlers = 1});
    int fd[2] = {join(desk), join(desk)};
    for (unsigned i = 0; i < 6; i++) {
        say(fd[i % 2], i % 2 ? "hn odd" : "hn even");
        WAIT_FOR(desk_held(desk) == i + 1);
    }
    transport_gather_begin();
    desk_answer_held(desk, 0, 6);
    hear_nothing(fd[0]);
    hear_nothing(fd[1]);
    transport_gather_end();
    for (unsigned i = 0; i < 6; i++) {
        hear(fd[i % 2], i % 2 ? "hn odd" : "hn even");
    }
    say(fd[0], "hn"); /* nothing is gathered any more */
    WAIT_FOR(desk_held(desk) == 7);
    desk_answer_held(desk, 6, 7);
    hear(fd[0], "hn");
    transport_gather_begin(); /* and again */
    transport_gather_end();
    (void)close(fd[0]);
    (void)close(fd[1]);
    desk_close(desk);
}

static void gathering_keeps_64_connections_waiting_at_most(void **state)
{
    (void)state;
    enum { MOST = 64 };
    struct desk *desk = desk_open((struct transport_server_options){.handlers = 1});
    int fd[MOST + 2];
    for (unsigned i = 0; i < MOST + 2; i++) {
        fd[i] = join(desk);
        say(fd[i], "hn");
        WAIT_FOR(desk_held(desk) == i + 1);
    }
    transport_gather_begin();
    desk_answer_held(desk, 0, MOST + 1);
    for (unsigned i = 0; i < MOST; i++) {
        hear(fd[i], "hn");
    }
    hear_nothing(fd[MOST]);
    transport_gather_end();
    hear(fd[MOST], "hn");
    transport_gather_begin();
    (void)close(fd[MOST + 1]); /* it need not be there any more */
    WAIT_FOR(desk_stats(desk).connections == MOST + 1);
    desk_answer_held(desk, MOST + 1, MOST + 2);
    transport_gather_end();
    for (unsigned i = 0; i <= MOST; i++) {
        (void)close(fd[i]);
    }
    desk_close(desk);
}

/* ---- The end ---- */

struct drain {
    struct desk *desk;
    uint32_t timeout_ms;
    pthread_t thread;
    atomic_bool ended;
};

static void *drain_run(void *arg)
{
    struct drain *drain = arg;
    transport_server_drain(drain->desk->server, drain->timeout_ms);
    atomic_store(&drain->ended, true);
    return NULL;
}

static void drain_start(struct drain *drain, struct desk *desk, uint32_t timeout_ms)
{
    *drain = (struct drain){.desk = desk, .timeout_ms = timeout_ms};
    assert_int_equal(pthread_create(&drain->thread, NULL, drain_run, drain), 0);
}

static void drain_wait(struct drain *drain)
{
    WAIT_FOR(atomic_load(&drain->ended));
    pthread_join(drain->thread, NULL);
}

static void check_drop(const char *blocker)
{
    struct drain drain;
    struct desk *desk = desk_open((struct transport_server_options){.handlers = 1});
    int busy = block(desk, blocker);
    int fd = join(desk);
    for (unsigned i = 0; i < 3; i++) {
        say(fd, "en");
    }
    desk_wait_waiting(desk, 3);
    drain_start(&drain, desk, 20);
    desk_wait_waiting(desk, 0);
    assert_false(atomic_load(&drain.ended)); /* a handler runs */
    desk_open_gates(desk, 1);
    drain_wait(&drain);
    assert_int_equal(note_count(desk), 1);
    hear(busy, "gn");
    say(fd, "en"); /* it is still connected, and not heard */
    hear_nothing(fd);
    assert_int_equal(note_count(desk), 1);
    assert_int_equal(desk_stats(desk).waiting, 0);
    (void)close(busy);
    (void)close(fd);
    desk_close(desk);
}

static void drain_drops_what_waits_when_its_time_is_over(void **state)
{
    (void)state;
    check_drop("gn");
    check_drop("gnL");
}

static void drain_answers_what_waits_while_there_is_time(void **state)
{
    (void)state;
    struct drain drain;
    struct desk *desk = desk_open((struct transport_server_options){.handlers = 1});
    int busy = block(desk, "gn");
    int fd = join(desk);
    for (unsigned i = 0; i < 3; i++) {
        say(fd, "en");
    }
    desk_wait_waiting(desk, 3);
    drain_start(&drain, desk, patience_ms());
    sleep_ms(20);
    assert_int_equal(desk_stats(desk).waiting, 3);
    desk_open_gates(desk, 1);
    drain_wait(&drain);
    assert_int_equal(note_count(desk), 4);
    hear(busy, "gn");
    for (unsigned i = 0; i < 3; i++) {
        hear(fd, "en");
    }
    (void)close(busy);
    (void)close(fd);
    desk_close(desk);
}

/* A thread that refuses something has not seen that the server ends. */
static void drain_ends_while_something_is_refused(void **state)
{
    (void)state;
    struct drain drain;
    struct desk *desk = desk_open((struct transport_server_options){.handlers = 1});
    int busy = block(desk, "gn");
    int fd = join(desk);
    desk->refusal_waits = true; /* nobody is refused yet */
    say(fd, "en");
    desk_wait_waiting(desk, 1);
    int late = join(desk);
    say(late, "en t1");
    WAIT_FOR(desk_stats(desk).waiting == 1 && desk_at_refusal(desk) == 1);
    drain_start(&drain, desk, 0);
    desk_wait_waiting(desk, 0); /* threads have been told to end, but one does not listen */
    pthread_mutex_lock(&desk->lock);
    desk->refusal_waits = false;
    pthread_cond_broadcast(&desk->wake);
    pthread_mutex_unlock(&desk->lock);
    desk_open_gates(desk, 1);
    drain_wait(&drain);
    hear(late, "late");
    assert_int_equal(note_count(desk), 1);
    (void)close(busy);
    (void)close(fd);
    (void)close(late);
    desk_close(desk);
}

/* ---- Peers that send much, don't read, or go ---- */

struct sender {
    int fd;
    unsigned count;
    size_t bytes;
};

static void *sender_run(void *arg)
{
    struct sender *sender = arg;
    for (unsigned i = 0; i < sender->count; i++) {
        say_long(sender->fd, "en", sender->bytes);
    }
    return NULL;
}

static void reading_stops_while_8_mib_wait_and_time_counts_on(void **state)
{
    (void)state;
    enum { BYTES = 2000, COUNT = 7000 };
    struct desk *desk = desk_open((struct transport_server_options){.handlers = 1});
    int busy = block(desk, "gn");
    struct sender sender = {.fd = join(desk), .count = COUNT, .bytes = BYTES};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, sender_run, &sender), 0);
    /* Of each message its header counts, too. */
    WAIT_FOR(desk_stats(desk).waiting * (BYTES + 4) > WAITING_BYTES_MAX);
    sleep_ms(30); /* reading would go on */
    uint64_t waiting = desk_stats(desk).waiting;
    assert_true(waiting * (BYTES + 4) < WAITING_BYTES_MAX + ((uint64_t)1 << 20));
    uint64_t stopped_ns = timing_now_ns();
    clock_move(HOUR_MS);
    desk_open_gates(desk, 1);
    for (unsigned i = 0; i < COUNT; i++) {
        hear(sender.fd, "en");
    }
    pthread_join(thread, NULL);
    assert_int_equal(note_count(desk), 1 + COUNT);
    for (unsigned i = 1; i < COUNT; i++) {
        assert_true(note_at(desk, i).received_ns <= note_at(desk, i + 1).received_ns);
    }
    /* The first of those that were left unread, and the last of all. */
    assert_true(note_at(desk, 1 + (unsigned)waiting).received_ns <= stopped_ns);
    assert_true(note_at(desk, COUNT).received_ns > stopped_ns);
    (void)close(busy);
    (void)close(sender.fd);
    desk_close(desk);
}

static void requests_of_who_has_gone_are_not_handled(void **state)
{
    (void)state;
    struct desk *desk = desk_open((struct transport_server_options){.handlers = 1});
    int busy = block(desk, "gn");
    int gone = join(desk);
    for (unsigned i = 0; i < 3; i++) {
        say(gone, "en gone");
    }
    int stays = join(desk);
    say(stays, "en stays");
    desk_wait_waiting(desk, 4);
    raw_close(gone, true);
    WAIT_FOR(desk_stats(desk).connections == 2);
    desk_open_gates(desk, 1);
    hear(stays, "en stays");
    desk_wait_waiting(desk, 0);
    assert_int_equal(note_count(desk), 2);
    assert_int_equal(desk_stats(desk).requests, 2);
    (void)close(busy);
    (void)close(stays);
    desk_close(desk);
}

/* A connection with a long answer that it has not read, and a request that waits for that. */
static int clogged_join(struct desk *desk)
{
    desk->zeros = calloc(1, LONG_BYTES);
    assert_non_null(desk->zeros);
    int fd = join(desk);
    say(fd, "bn");
    WAIT_FOR(note_count(desk) == 1);
    say(fd, "en after");
    desk_wait_waiting(desk, 1);
    int other = join(desk); /* it holds up nobody else */
    say(other, "en other");
    hear(other, "en other");
    (void)close(other);
    assert_int_equal(desk_stats(desk).waiting, 1);
    return fd;
}

static void who_does_not_read_is_handled_when_he_does(void **state)
{
    (void)state;
    struct desk *desk = desk_open((struct transport_server_options){.handlers = 1});
    int fd = clogged_join(desk);
    hear(fd, "");
    hear(fd, "en after");
    (void)close(fd);
    desk_close(desk);
}

static void who_does_not_read_and_goes_leaves_nothing_waiting(void **state)
{
    (void)state;
    struct desk *desk = desk_open((struct transport_server_options){.handlers = 1});
    int fd = clogged_join(desk);
    raw_close(fd, true);
    desk_wait_waiting(desk, 0);
    assert_int_equal(note_count(desk), 2);
    desk_close(desk);
}

/* He has not read for hours, and what he has sent meanwhile is not taken for an overload. */
static void what_was_left_unread_makes_no_overload(void **state)
{
    (void)state;
    struct desk *desk = desk_open(
        (struct transport_server_options){.handlers = 1,
                                          .queue_target_ns = (uint64_t)HOUR_MS * NS_PER_MS,
                                          .queue_interval_ns = (uint64_t)HOUR_MS * NS_PER_MS});
    desk->zeros = calloc(1, LONG_BYTES);
    assert_non_null(desk->zeros);
    int fd = join(desk);
    for (unsigned i = 0; i < 2; i++) {
        say(fd, "hn");
        WAIT_FOR(desk_held(desk) == i + 1);
    }
    for (unsigned i = 0; i < 2; i++) { /* one leaves, and one is unsent */
        transport_reply(desk->held[i], (struct bytes){desk->zeros, LONG_BYTES});
    }
    say(fd, "en one");
    desk_wait_waiting(desk, 1); /* reading stops after this */
    say(fd, "en two");
    clock_move(3 * HOUR_MS);
    assert_false(desk_stats(desk).overloaded);
    hear(fd, "");
    hear(fd, "");
    hear(fd, "en one"); /* it was set aside, and waited for him alone */
    hear(fd, "en two");
    assert_int_equal(desk_stats(desk).refused_overload, 0);
    (void)close(fd);
    desk_close(desk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(time_counts_from_the_socket_while_all_handlers_are_busy),
        cmocka_unit_test(what_is_late_is_refused_while_all_handlers_are_busy),
        cmocka_unit_test(overload_refuses_new_requests_first),
        cmocka_unit_test(classes_come_in_order),
        cmocka_unit_test(exchanges_are_kept_for_who_ends_work),
        cmocka_unit_test(modest_client_waits_for_few_turns),
        cmocka_unit_test(crowd_is_refused_at_once_and_others_are_not_touched),
        cmocka_unit_test(pause_lets_small_requests_of_others_in_between),
        cmocka_unit_test(pause_sends_what_is_answered_already),
        cmocka_unit_test(gathered_answers_leave_at_the_end),
        cmocka_unit_test(gathering_keeps_64_connections_waiting_at_most),
        cmocka_unit_test(drain_drops_what_waits_when_its_time_is_over),
        cmocka_unit_test(drain_answers_what_waits_while_there_is_time),
        cmocka_unit_test(drain_ends_while_something_is_refused),
        cmocka_unit_test(reading_stops_while_8_mib_wait_and_time_counts_on),
        cmocka_unit_test(requests_of_who_has_gone_are_not_handled),
        cmocka_unit_test(who_does_not_read_is_handled_when_he_does),
        cmocka_unit_test(who_does_not_read_and_goes_leaves_nothing_waiting),
        cmocka_unit_test(what_was_left_unread_makes_no_overload),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
