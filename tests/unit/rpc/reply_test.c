/* reply_test.c - a client against a peer made by hand, which answers by chance: late, twice, in any
 * order, with ids that are none or another's, in pieces, too long, or not at all, and hangs up in
 * the middle. Whatever it does, a call gets the answer to its own request or none.
 *
 * One thread is the caller and the peer; the client's own threads are nng's. Each call's request
 * begins with its number, and is answered with that number and a pattern made of it. What may be in
 * an answer's place says so: it begins with another number.
 *
 * A call is lost when a new connection does not have it: the client sends what waits before what
 * comes later. So nothing here waits for a timeout to see it. */
#include "unit/rpc/echo.h"

#include <fcntl.h>
#include <netinet/tcp.h>
#include <string.h>

#include "base/limits.h"
#include "lib/budget.h"
#include "lib/rng.h"

#define ROUND_CALLS 64u         /* of a round, at most */
#define SEEN_MAX    1024u       /* requests that come in a round, repeated ones too */
#define BODY_MAX    (96u << 10) /* of a request and of an answer */
#define NOT_MINE    0xFFFFFFFFu /* the number in an answer to nobody */
#define MARKER      0xFFFFFFFEu /* the number of the call that closes a round */
#define LONG_MS     (10u * PATIENCE_MS)
#define ACTIONS     60u /* of the peer in a round */

/* ---- Bodies ---- */

/* The byte at a place of a message's body: its number first, then a pattern of it. */
static uint8_t body_byte(uint32_t number, size_t at)
{
    return at < 4 ? (uint8_t)(number >> (24 - 8 * at)) : (uint8_t)(number * 31u + at * 7u);
}

static void body_fill(uint8_t *body, size_t len, uint32_t number)
{
    for (size_t i = 0; i < len; i++) {
        body[i] = body_byte(number, i);
    }
}

static uint32_t number_at(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* ---- Calls ---- */

struct caller {
    struct transport_call call;
    uint32_t number;
    uint32_t timeout_ms;
    uint64_t start_ms;
    size_t answer_bytes; /* of the answer that is the right one; 0: none was sent */
    bool forgotten;
    bool seen;         /* its request has come to the peer */
    atomic_uint times; /* done() has run */
    enum hf_status status;
    uint64_t end_ms;
    size_t reply_bytes;
    bool reply_is_mine;
};

static void caller_done(struct transport_call *call, enum hf_status status, struct bytes reply)
{
    struct caller *caller = call->user;
    caller->status = status;
    caller->end_ms = now_ms();
    caller->reply_bytes = reply.len;
    caller->reply_is_mine = reply.len >= 4;
    for (size_t i = 0; i < reply.len; i++) {
        caller->reply_is_mine &= reply.data[i] == body_byte(caller->number, i);
    }
    atomic_fetch_add_explicit(&caller->times, 1, memory_order_release);
}

static bool caller_is_live(struct caller *caller)
{
    return !caller->forgotten && atomic_load_explicit(&caller->times, memory_order_acquire) == 0;
}

/* ---- A round ---- */

struct seen {
    uint32_t id;
    uint32_t number;
};

struct round {
    uint64_t seed;
    struct rng rng;
    bool ipc;
    char url[256];
    int listening;
    int fd; /* the present connection; -1: none */
    struct transport_client *client;
    unsigned at_once; /* calls: the number of slots of the client */
    bool marked;      /* the marker's request has come */
    unsigned calls;   /* made so far */
    struct caller callers[ROUND_CALLS];
    struct seen here[SEEN_MAX]; /* came on the present connection */
    unsigned here_count;
    struct seen before[SEEN_MAX]; /* came at all */
    unsigned before_count;
    uint32_t ids[ROUND_CALLS]; /* each call's, once seen: the same each time */
    uint8_t in[BODY_MAX + 64]; /* what has come of the next request */
    size_t in_bytes;
    uint8_t body[BODY_MAX + 64];
};

#define assert_round(round, condition)                                                             \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fail_msg("SEED=%llu: %s", (unsigned long long)(round)->seed, #condition);              \
        }                                                                                          \
    } while (0)

/* A length that is mostly short, sometimes above what is read at once. */
static size_t random_body_bytes(struct round *round)
{
    return rng_chance(&round->rng, 12) ? rng_between(&round->rng, 4, BODY_MAX)
                                       : rng_between(&round->rng, 4, 40);
}

/* Calls that have neither ended nor been taken back. */
static unsigned round_live(struct round *round)
{
    unsigned count = 0;
    for (unsigned i = 0; i < round->calls; i++) {
        count += caller_is_live(&round->callers[i]);
    }
    return count;
}

static void round_call(struct round *round)
{
    if (round->calls == ROUND_CALLS || round_live(round) == round->at_once) {
        return;
    }
    struct caller *caller = &round->callers[round->calls];
    size_t len = random_body_bytes(round);
    *caller = (struct caller){.number = round->calls,
                              .timeout_ms = rng_chance(&round->rng, 4)
                                                ? (uint32_t)rng_between(&round->rng, 1, 30)
                                                : LONG_MS,
                              .call = {.done = caller_done}};
    caller->call.user = caller;
    body_fill(round->body, len, caller->number);
    caller->start_ms = now_ms();
    enum hf_status status = transport_client_call(
        round->client, &caller->call, (struct bytes){round->body, len}, caller->timeout_ms);
    memset(round->body, 0xEE, len);       /* it was copied */
    assert_round(round, status == HF_OK); /* the places of calls that have ended are free */
    round->calls++;
}

/* ---- The peer ---- */

static unsigned head_bytes(const struct round *round)
{
    return round->ipc ? 9 : 8;
}

/* False: the client has hung up. */
static bool peer_send(struct round *round, const uint8_t *bytes, size_t len)
{
    unsigned pieces = (unsigned)rng_between(&round->rng, 1, rng_chance(&round->rng, 3) ? 4 : 1);
    for (size_t at = 0; at < len;) {
        size_t piece = pieces > 1 ? (size_t)rng_between(&round->rng, 1, len - at) : len - at;
        pieces -= pieces > 1;
        ssize_t n = send(round->fd, bytes + at, piece, MSG_NOSIGNAL);
        if (n <= 0) {
            return false;
        }
        at += (size_t)n;
    }
    return true;
}

static void peer_hang_up(struct round *round)
{
    if (round->fd >= 0) {
        raw_close(round->fd, rng_chance(&round->rng, 2));
    }
    round->fd = -1;
    round->in_bytes = 0;
    round->here_count = 0;
}

/* Every request is checked when it comes. */
static void peer_take(struct round *round, uint32_t id, const uint8_t *body, size_t len)
{
    assert_round(round, len >= 4);
    assert_round(round, id & 0x80000000u);
    uint32_t number = number_at(body);
    if (number == MARKER) {
        round->marked = true;
        return;
    }
    assert_round(round, number < round->calls);
    struct caller *caller = &round->callers[number];
    for (size_t i = 0; i < len; i++) {
        assert_round(round, body[i] == body_byte(number, i));
    }
    for (unsigned i = 0; i < round->here_count; i++) {
        assert_round(round, round->here[i].number != number); /* once on each connection */
        assert_round(round, round->here[i].id != id);
    }
    assert_round(round, !caller->seen || round->ids[number] == id);
    caller->seen = true;
    round->ids[number] = id;
    assert_round(round, round->here_count < SEEN_MAX);
    round->here[round->here_count++] = (struct seen){id, number};
    if (round->before_count < SEEN_MAX) {
        round->before[round->before_count++] = (struct seen){id, number};
    }
}

/* Takes whole requests out of what has come. */
static void peer_parse(struct round *round)
{
    unsigned head = head_bytes(round);
    while (round->in_bytes >= head + 4) {
        assert_round(round, !round->ipc || round->in[0] == 1);
        assert_round(round, number_at(round->in + head - 8) == 0);
        size_t len = number_at(round->in + head - 4);
        assert_round(round, len >= 8 && len <= BODY_MAX + 4);
        if (round->in_bytes < head + len) {
            return;
        }
        peer_take(round, number_at(round->in + head), round->in + head + 4, len - 4);
        round->in_bytes -= head + len;
        memmove(round->in, round->in + head + len, round->in_bytes);
    }
}

/* Reads what is there, waiting for it so long at most. */
static void peer_read(struct round *round, int ms)
{
    struct pollfd wait = {.fd = round->fd, .events = POLLIN};
    while (round->fd >= 0 && poll(&wait, 1, ms) == 1) {
        ssize_t n =
            recv(round->fd, round->in + round->in_bytes, sizeof round->in - round->in_bytes, 0);
        if (n <= 0) {
            peer_hang_up(round);
            return;
        }
        round->in_bytes += (size_t)n;
        peer_parse(round);
        ms = 0;
    }
}

/* Takes a connection, if one is there or comes in time. */
static bool peer_accept(struct round *round, int ms)
{
    static const uint8_t greeting[8] = {0, 'S', 'P', 0, 0, 0x31, 0, 0};
    static const uint8_t expected[8] = {0, 'S', 'P', 0, 0, 0x30, 0, 0};
    struct pollfd wait = {.fd = round->listening, .events = POLLIN};
    if (round->fd >= 0 || poll(&wait, 1, ms) != 1) {
        return round->fd >= 0;
    }
    round->fd = accept(round->listening, NULL, NULL);
    assert_round(round, round->fd >= 0);
    struct timeval patience = {patience_ms() / 1000, 0};
    int on = 1;
    (void)setsockopt(round->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    (void)setsockopt(round->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    uint8_t got[8];
    if (!peer_send(round, greeting, sizeof greeting)) {
        peer_hang_up(round);
        return false;
    }
    raw_receive(round->fd, got, sizeof got);
    assert_memory_equal(got, expected, sizeof got);
    return true;
}

/* The head of an answer with that id, to a body of so many bytes; how long it is. */
static size_t answer_head(const struct round *round, uint8_t *head, uint32_t id, uint64_t body)
{
    unsigned at = head_bytes(round);
    head[0] = 1;
    for (unsigned i = 0; i < 8; i++) {
        head[at - 8 + i] = (uint8_t)((body + 4) >> (56 - 8 * i));
    }
    for (unsigned i = 0; i < 4; i++) {
        head[at + i] = (uint8_t)(id >> (24 - 8 * i));
    }
    return at + 4;
}

/* Sends an answer, or its first bytes. */
static void peer_answer(struct round *round, uint32_t id, uint32_t number, size_t len, bool cut)
{
    size_t head = answer_head(round, round->body, id, len);
    body_fill(round->body + head, len, number);
    size_t whole = head + len;
    size_t sent = cut ? (size_t)rng_below(&round->rng, whole) : whole;
    if (!peer_send(round, round->body, sent) || cut) {
        peer_hang_up(round);
    }
}

/* The right answer to one of those that are here; it may be late, or the second one. */
static void peer_answer_any(struct round *round, bool cut)
{
    if (round->here_count == 0) {
        return;
    }
    const struct seen *seen = &round->here[rng_below(&round->rng, round->here_count)];
    struct caller *caller = &round->callers[seen->number];
    size_t len = caller->answer_bytes ? caller->answer_bytes : random_body_bytes(round);
    if (!cut) {
        caller->answer_bytes = len;
    }
    peer_answer(round, seen->id, seen->number, len, cut);
}

/* Whether a call waits whose id the peer does not know. */
static bool any_unknown(struct round *round)
{
    bool any = false;
    for (unsigned i = 0; i < round->calls; i++) {
        any |= caller_is_live(&round->callers[i]) && !round->callers[i].seen;
    }
    return any;
}

static bool is_live_id(struct round *round, uint32_t id)
{
    bool any = false;
    for (unsigned i = 0; i < round->calls; i++) {
        any |= caller_is_live(&round->callers[i]) && round->callers[i].seen && round->ids[i] == id;
    }
    return any;
}

/* An answer that nobody waits for, with an id near one that was asked with: its slot with another
 * count, its count with another slot, or that of a call that is over. */
static void peer_answer_foreign(struct round *round)
{
    if (round->before_count == 0) {
        return;
    }
    uint32_t id = round->before[rng_below(&round->rng, round->before_count)].id;
    switch (rng_below(&round->rng, 4)) {
    case 0:
        if (any_unknown(round)) {
            return; /* it might be that one's */
        }
        id ^= 1u << rng_between(&round->rng, 17, 30); /* the right slot */
        break;
    case 1:
        id ^= 1u << rng_below(&round->rng, 10); /* the right count */
        break;
    default:
        break;
    }
    if (!is_live_id(round, id)) {
        peer_answer(round, id, NOT_MINE, 8, false);
    }
}

/* What is no answer: the connection ends, or it is passed over. */
static void peer_send_nonsense(struct round *round)
{
    uint8_t bytes[64] = {0};
    size_t len = answer_head(round, bytes, 0x80000001u, 0);
    switch (rng_below(&round->rng, 4)) {
    case 0: /* longer than may be */
        len = answer_head(round, bytes, 0x80000001u, MESSAGE_BYTES_MAX - 3);
        break;
    case 1:
        memset(bytes + head_bytes(round) - 8, 0xFF, 8);
        break;
    case 2: /* no id */
        bytes[head_bytes(round) - 1] = 3;
        len = head_bytes(round) + 3u;
        break;
    default: /* no bytes at all */
        bytes[head_bytes(round) - 1] = 0;
        len = head_bytes(round);
        break;
    }
    (void)peer_send(round, bytes, len);
}

/* A right answer, but through a hop: no REP that this client speaks to answers so. */
static void peer_answer_through_a_hop(struct round *round)
{
    uint8_t bytes[64] = {0};
    if (round->here_count > 0) {
        size_t len = answer_head(round, bytes, 7, 8);
        uint32_t id = round->here[rng_below(&round->rng, round->here_count)].id;
        for (unsigned i = 0; i < 4; i++) {
            bytes[len + i] = (uint8_t)(id >> (24 - 8 * i));
            bytes[len + 4 + i] = 0xFF;
        }
        (void)peer_send(round, bytes, len + 8);
    }
}

static void round_forget(struct round *round)
{
    if (round->calls > 0) {
        struct caller *caller = &round->callers[rng_below(&round->rng, round->calls)];
        caller->forgotten |= transport_client_forget(round->client, &caller->call);
    }
}

static void round_act(struct round *round)
{
    (void)peer_accept(round, rng_chance(&round->rng, 3) ? 15 : 0);
    peer_read(round, rng_chance(&round->rng, 2) ? 2 : 0);
    switch (rng_below(&round->rng, 12)) {
    case 0:
    case 1:
    case 2:
    case 3:
        round_call(round);
        break;
    case 4:
        round_forget(round);
        break;
    case 5:
        sleep_ms((unsigned)rng_below(&round->rng, 4));
        break;
    default:
        break;
    }
    if (round->fd < 0) {
        return;
    }
    switch (rng_below(&round->rng, 16)) {
    case 0:
    case 1:
    case 2:
    case 3:
        peer_answer_any(round, false);
        break;
    case 4:
    case 5:
    case 6:
        peer_answer_foreign(round);
        break;
    case 7:
        peer_answer_through_a_hop(round);
        break;
    case 8:
        peer_answer_any(round, true);
        break;
    case 9:
        if (rng_chance(&round->rng, 3)) {
            peer_send_nonsense(round);
        }
        break;
    case 10:
        if (rng_chance(&round->rng, 3)) {
            peer_hang_up(round);
        }
        break;
    default:
        break;
    }
}

/* ---- The end of a round ---- */

static bool is_here(const struct round *round, uint32_t number)
{
    for (unsigned i = 0; i < round->here_count; i++) {
        if (round->here[i].number == number) {
            return true;
        }
    }
    return false;
}

/* Makes a call of the round's own, and reads for a moment. True: its request has come. */
static bool round_try_mark(struct round *round)
{
    struct result marker;
    static const uint8_t mark[4] = {0xFF, 0xFF, 0xFF, 0xFE};
    round->marked = false;
    assert_int_equal(
        result_start(&marker, round->client, (struct bytes){mark, sizeof mark}, LONG_MS), HF_OK);
    for (unsigned i = 0; i < 10 && !round->marked; i++) {
        (void)peer_accept(round, 5);
        peer_read(round, 5);
    }
    assert_true(transport_client_forget(round->client, &marker.call));
    return round->marked;
}

/* Makes calls of the round's own until one's request comes, by a new connection if need be. Where
 * all places are taken, the first call that waits is taken back for it. */
static void round_mark(struct round *round)
{
    uint64_t until = patience_until();
    for (unsigned i = 0; i < round->calls && round_live(round) == round->at_once; i++) {
        struct caller *caller = &round->callers[i];
        caller->forgotten |= transport_client_forget(round->client, &caller->call);
    }
    while (!round_try_mark(round)) {
        assert_round(round, now_ms() < until);
    }
}

/* A new connection has all calls that wait, and none that had ended; and their answers end them. */
static void round_settle(struct round *round)
{
    bool over[ROUND_CALLS];
    uint64_t until = patience_until();
    for (unsigned i = 0; i < round->calls; i++) {
        over[i] = !caller_is_live(&round->callers[i]);
    }
    peer_hang_up(round);
    round_mark(round); /* the client has the new connection, */
    round_mark(round); /* and has sent on it what waited before this */
    for (unsigned i = 0; i < round->calls; i++) {
        struct caller *caller = &round->callers[i];
        assert_round(round, !over[i] || !is_here(round, i));
        assert_round(round, !caller_is_live(caller) || is_here(round, i));
    }
    for (unsigned i = 0; i < round->here_count; i++) {
        struct caller *caller = &round->callers[round->here[i].number];
        caller->answer_bytes = caller->answer_bytes ? caller->answer_bytes : 16;
        peer_answer(round, round->here[i].id, caller->number, caller->answer_bytes, false);
        assert_round(round, round->fd >= 0);
    }
    while (round_live(round) > 0) {
        assert_round(round, now_ms() < until);
        sleep_ms(1);
    }
}

static void round_check(struct round *round, bool settled)
{
    for (unsigned i = 0; i < round->calls; i++) {
        struct caller *caller = &round->callers[i];
        unsigned times = atomic_load_explicit(&caller->times, memory_order_acquire);
        assert_round(round, times == (caller->forgotten ? 0 : 1));
        if (times == 0) {
            continue;
        }
        switch (caller->status) {
        case HF_OK:
            assert_round(round, caller->reply_is_mine);
            assert_round(round, caller->reply_bytes == caller->answer_bytes);
            break;
        case HF_TIMED_OUT:
        case HF_UNREACHABLE:
            assert_round(round, caller->timeout_ms < LONG_MS);
            assert_round(round, caller->end_ms - caller->start_ms >= caller->timeout_ms);
            assert_round(round, caller->status == HF_TIMED_OUT || !caller->seen);
            break;
        default:
            assert_round(round, caller->status == HF_CANCELED && !settled);
        }
    }
}

static void round_listen(struct round *round, const char *dir)
{
    if (!round->ipc) {
        round->listening = raw_listen(round->url);
        return;
    }
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(round->url, sizeof round->url, "ipc://%s/socket", dir);
    set_path(&address, round->url);
    (void)unlink(address.sun_path);
    round->listening = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_true(round->listening >= 0);
    assert_int_equal(bind(round->listening, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(round->listening, 8), 0);
}

static void round_run(uint64_t seed, const char *dir)
{
    static struct round round;
    memset(&round, 0, sizeof round);
    round.seed = seed;
    round.fd = -1;
    rng_init(&round.rng, seed);
    round.ipc = rng_chance(&round.rng, 3);
    round.at_once = (unsigned)rng_between(&round.rng, 1, 8);
    round_listen(&round, dir);
    assert_int_equal(transport_client_open(&round.client, round.url, round.at_once), HF_OK);
    for (unsigned i = 0; i < ACTIONS; i++) {
        round_act(&round);
    }
    bool settled = !rng_chance(&round.rng, 4);
    if (settled) {
        round_settle(&round);
    }
    transport_client_close(round.client);
    round_check(&round, settled);
    peer_hang_up(&round);
    (void)close(round.listening);
}

static void client_gives_each_call_its_own_answer_or_none(void **state)
{
    (void)state;
    char *dir = tempdir_make();
    uint64_t first = rng_seed_from_env(1);
    struct budget budget = budget_make("rounds of answers", 25, 4.0, 20000);
    while (budget_next(&budget)) {
        round_run(first + budget.round, dir);
    }
    tempdir_remove(dir);
}

/* ---- The longest answer ---- */

/* Sends zeros; false: the client has hung up. */
static bool send_zeros(int fd, size_t len)
{
    static const uint8_t zeros[65536];
    while (len > 0) {
        ssize_t n = send(fd, zeros, len < sizeof zeros ? len : sizeof zeros, MSG_NOSIGNAL);
        if (n <= 0) {
            return false;
        }
        len -= (size_t)n;
    }
    return true;
}

/* An answer that is one byte longer than may be is none: the client hangs up, and asks anew. One as
 * long as may be is one. */
static void client_takes_answers_up_to_the_longest(void **state)
{
    (void)state;
    char url[64];
    uint8_t request[13];
    int listening = raw_listen(url);
    struct transport_client *client = client_of(url);
    int fd = raw_accept(listening);
    struct result result;
    assert_int_equal(result_start(&result, client, bytes_of("x"), LONG_MS), HF_OK);
    raw_receive(fd, request, sizeof request);
    uint8_t head[12] = {0};
    for (unsigned i = 0; i < 8; i++) {
        head[i] = (uint8_t)((MESSAGE_BYTES_MAX + 1) >> (56 - 8 * i));
    }
    memcpy(head + 8, request + 8, 4);
    raw_send(fd, head, sizeof head);
    /* One that takes it would take the right answer after it. */
    if (send_zeros(fd, (size_t)MESSAGE_BYTES_MAX - 3)) {
        (void)send(fd, request, sizeof request, MSG_NOSIGNAL);
    }
    struct pollfd ends = {.fd = fd, .events = POLLIN};
    while (poll(&ends, 1, 1) == 0) {
        assert_int_equal(atomic_load(&result.times), 0);
    }
    assert_true(raw_hung_up(fd));
    assert_int_equal(atomic_load(&result.times), 0);
    (void)close(fd);

    fd = raw_accept(listening);
    uint8_t again[13];
    raw_receive(fd, again, sizeof again);
    assert_memory_equal(again, request, sizeof again); /* the same request, with the same id */
    for (unsigned i = 0; i < 8; i++) {
        head[i] = (uint8_t)(MESSAGE_BYTES_MAX >> (56 - 8 * i));
    }
    raw_send(fd, head, sizeof head);
    assert_true(send_zeros(fd, (size_t)MESSAGE_BYTES_MAX - 4));
    result_wait(&result);
    assert_int_equal(result.status, HF_OK);
    assert_int_equal(result.reply_bytes, MESSAGE_BYTES_MAX - 4);
    transport_client_close(client);
    (void)close(fd);
    (void)close(listening);
}

/* Before the client has asked anything, and with all that it might have in its slots. */
static void client_passes_over_answers_before_any_request(void **state)
{
    (void)state;
    char url[64];
    uint8_t request[13];
    int listening = raw_listen(url);
    struct transport_client *client = client_of(url);
    int fd = raw_accept(listening);
    wait_connected(client, 1);
    uint8_t answer[13] = {[7] = 5, [12] = 'n'};
    for (unsigned slot = 0; slot < 1024; slot++) {
        answer[8] = 0x80;
        answer[10] = (uint8_t)(slot >> 8);
        answer[11] = (uint8_t)slot;
        raw_send(fd, answer, sizeof answer);
    }
    struct result result;
    assert_int_equal(result_start(&result, client, bytes_of("y"), LONG_MS), HF_OK);
    raw_receive(fd, request, sizeof request);
    raw_send(fd, request, sizeof request);
    result_wait(&result);
    assert_int_equal(result.status, HF_OK);
    assert_int_equal(result.reply[0], 'y');
    assert_int_equal(transport_client_connections(client), 1);
    transport_client_close(client);
    (void)close(fd);
    (void)close(listening);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(client_gives_each_call_its_own_answer_or_none),
        cmocka_unit_test(client_takes_answers_up_to_the_longest),
        cmocka_unit_test(client_passes_over_answers_before_any_request),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
