/* exchange_test.c - a server whose answers come late, from other threads and in any order, while
 * connections send in pieces, all at once, with the same ids as others, and hang up in the middle.
 * Each answer goes to the client that asked, with the id of its request, and is made of what was
 * asked; and when all is over nothing is in hand any more.
 *
 * The connections are one thread's. The server's handler answers some requests itself and leaves
 * the others to threads that play the log's part: there a request waits, in the memory that it came
 * in, while its connection reads on, or has gone. */
#include "unit/rpc/echo.h"

#include <string.h>

#include "base/hash.h"
#include "lib/budget.h"
#include "lib/refuse_nobody.h"
#include "lib/rng.h"

#define LOGS       3u /* threads that answer */
#define PEERS      4u
#define ASKED_MAX  24u /* of a connection, before it is asked to be quiet */
#define BODY_MAX   20000u
#define ACTIONS    400u
#define HEADER_MAX (4u * 3u)

#define assert_seed(seed, condition)                                                               \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fail_msg("SEED=%llu: %s", (unsigned long long)(seed), #condition);                     \
        }                                                                                          \
    } while (0)

/* ---- The server ---- */

/* What an exchange keeps for the handler. */
struct note {
    bool in_hand;
    uint64_t hash; /* of the request, when it came */
    size_t len;
    struct transport_exchange *next;
};

struct late_server {
    struct transport_server *server;
    char url[256];
    pthread_mutex_t lock; /* all below */
    pthread_cond_t wake;
    struct transport_exchange *held[256];
    unsigned held_count;
    bool hold_all; /* nobody answers */
    bool stop;
    pthread_t logs[LOGS];
    uint64_t seed;
};

static uint64_t hash_of(struct bytes bytes)
{
    return hash_bytes(bytes.data, bytes.len);
}

/* 'A', and what was asked. */
static void answer(struct transport_exchange *exchange)
{
    const struct note *note = transport_exchange_user(exchange);
    struct bytes body = transport_exchange_body(exchange);
    assert_true(note->in_hand);
    assert_int_equal(body.len, note->len);
    assert_true(hash_of(body) == note->hash); /* nobody has written there meanwhile */
    uint8_t reply[BODY_MAX + 1];
    reply[0] = 'A';
    memcpy(reply + 1, body.data, body.len);
    transport_reply(exchange, (struct bytes){reply, body.len + 1});
}

static void late_handle(void *context, struct transport_exchange *exchange)
{
    struct late_server *late = context;
    struct note *note = transport_exchange_user(exchange);
    struct bytes body = transport_exchange_body(exchange);
    assert_false(note->in_hand); /* its last answer is out */
    assert_true(body.len >= 8 && body.len <= BODY_MAX);
    *note = (struct note){.in_hand = true, .hash = hash_of(body), .len = body.len};
    pthread_mutex_lock(&late->lock);
    if (body.data[7] % 4 == 0 && !late->hold_all) {
        pthread_mutex_unlock(&late->lock);
        answer(exchange);
        return;
    }
    assert_true(late->held_count < 256);
    late->held[late->held_count++] = exchange;
    pthread_cond_signal(&late->wake);
    pthread_mutex_unlock(&late->lock);
}

static void late_replied(void *context, void *user)
{
    (void)context;
    struct note *note = user;
    assert_true(note->in_hand);
    note->in_hand = false;
}

static void *log_run(void *arg)
{
    struct late_server *late = arg;
    struct rng rng;
    pthread_mutex_lock(&late->lock);
    rng_init(&rng, late->seed++);
    while (!late->stop || late->held_count > 0) {
        if (late->held_count == 0 || late->hold_all) {
            pthread_cond_wait(&late->wake, &late->lock);
            continue;
        }
        unsigned at = (unsigned)rng_below(&rng, late->held_count);
        struct transport_exchange *exchange = late->held[at];
        late->held[at] = late->held[--late->held_count];
        pthread_mutex_unlock(&late->lock);
        if (rng_chance(&rng, 8)) {
            sleep_ms(1);
        }
        answer(exchange);
        pthread_mutex_lock(&late->lock);
    }
    pthread_mutex_unlock(&late->lock);
    return NULL;
}

static void late_start(struct late_server *late, const char *url, unsigned contexts, uint64_t seed)
{
    memset(late, 0, sizeof *late);
    late->seed = seed;
    pthread_mutex_init(&late->lock, NULL);
    pthread_cond_init(&late->wake, NULL);
    const struct transport_server_options options = {
        .contexts = contexts,
        .per_connection = 2 * ASKED_MAX,
        .message_bytes_max = MESSAGE_BYTES,
        .send_timeout_ms = PATIENCE_MS,
        .user_bytes = sizeof(struct note),
        .handle = late_handle,
        .refuse = refuse_nobody,
        .replied = late_replied,
        .context = late,
    };
    assert_int_equal(transport_server_open(&late->server, &options), HF_OK);
    assert_int_equal(transport_server_listen(late->server, url, late->url, sizeof late->url),
                     HF_OK);
    for (unsigned i = 0; i < LOGS; i++) {
        assert_int_equal(pthread_create(&late->logs[i], NULL, log_run, late), 0);
    }
}

static void late_hold_all(struct late_server *late, bool hold)
{
    pthread_mutex_lock(&late->lock);
    late->hold_all = hold;
    pthread_cond_broadcast(&late->wake);
    pthread_mutex_unlock(&late->lock);
}

static unsigned late_held(struct late_server *late)
{
    pthread_mutex_lock(&late->lock);
    unsigned count = late->held_count;
    pthread_mutex_unlock(&late->lock);
    return count;
}

/* All answers are out: as a server that ends waits for them. */
static void late_stop(struct late_server *late)
{
    uint64_t start = now_ms();
    transport_server_drain(late->server, patience_ms());
    assert_true(now_ms() - start < patience_ms());
    assert_int_equal(late_held(late), 0);
    pthread_mutex_lock(&late->lock);
    late->stop = true;
    pthread_cond_broadcast(&late->wake);
    pthread_mutex_unlock(&late->lock);
    for (unsigned i = 0; i < LOGS; i++) {
        pthread_join(late->logs[i], NULL);
    }
    transport_server_close(late->server);
    pthread_cond_destroy(&late->wake);
    pthread_mutex_destroy(&late->lock);
}

/* ---- Connections ---- */

struct asked {
    uint8_t header[HEADER_MAX];
    size_t header_bytes;
    uint64_t number;
    size_t len;
    uint64_t end; /* of the request, in all that is sent on the connection */
};

struct peer {
    int fd; /* -1: none */
    struct asked asked[ASKED_MAX];
    unsigned asked_count;
    uint8_t out[8 + ASKED_MAX * (BODY_MAX + 32)]; /* what is still to be sent */
    size_t out_bytes;
    uint64_t sent; /* so far */
    uint8_t in[BODY_MAX + 64];
    size_t in_bytes;
    bool greeted;
};

struct room {
    uint64_t seed;
    struct rng rng;
    bool ipc;
    struct late_server late;
    uint64_t number;
    struct peer peers[PEERS];
    unsigned answers;
};

static void body_fill(uint8_t *body, size_t len, uint64_t number)
{
    for (size_t i = 0; i < len; i++) {
        body[i] = i < 8 ? (uint8_t)(number >> (56 - 8 * i)) : (uint8_t)(number * 31u + i * 7u);
    }
}

static void peer_dial(struct room *room, struct peer *peer)
{
    static const uint8_t greeting[8] = {0, 'S', 'P', 0, 0, 0x30, 0, 0};
    *peer = (struct peer){.fd = raw_dial(room->late.url)};
    memcpy(peer->out, greeting, sizeof greeting);
    peer->out_bytes = sizeof greeting;
}

static void peer_hang_up(struct room *room, struct peer *peer)
{
    if (peer->fd >= 0) {
        raw_close(peer->fd, rng_chance(&room->rng, 2));
    }
    peer->fd = -1;
}

static bool header_is_taken(const struct peer *peer, const struct asked *asked)
{
    for (unsigned i = 0; i < peer->asked_count; i++) {
        const struct asked *other = &peer->asked[i];
        if (other->header_bytes == asked->header_bytes &&
            memcmp(other->header, asked->header, asked->header_bytes) == 0) {
            return true;
        }
    }
    return false;
}

/* Queues a request. Its id is one of a few: other connections have the same, and requests that were
 * answered had them. */
static void peer_ask(struct room *room, struct peer *peer)
{
    if (peer->asked_count == ASKED_MAX) {
        return;
    }
    struct asked asked = {.number = room->number++};
    unsigned words = rng_chance(&room->rng, 4) ? (unsigned)rng_between(&room->rng, 2, 3) : 1;
    asked.header_bytes = 4 * words;
    do {
        for (unsigned i = 0; i < words; i++) {
            asked.header[4 * i] = i + 1 == words ? 0x80 : 0;
            asked.header[4 * i + 3] = (uint8_t)rng_below(&room->rng, 2 * ASKED_MAX);
        }
    } while (header_is_taken(peer, &asked));
    asked.len = rng_chance(&room->rng, 10) ? rng_between(&room->rng, 8, BODY_MAX)
                                           : rng_between(&room->rng, 8, 64);
    uint8_t *at = peer->out + peer->out_bytes;
    if (room->ipc) {
        *at++ = 1;
    }
    for (unsigned i = 0; i < 8; i++) {
        *at++ = (uint8_t)((uint64_t)(asked.header_bytes + asked.len) >> (56 - 8 * i));
    }
    memcpy(at, asked.header, asked.header_bytes);
    body_fill(at + asked.header_bytes, asked.len, asked.number);
    peer->out_bytes = (size_t)(at - peer->out) + asked.header_bytes + asked.len;
    asked.end = peer->sent + peer->out_bytes;
    peer->asked[peer->asked_count++] = asked;
}

/* Sends some of what is queued, or all. */
static void peer_send(struct room *room, struct peer *peer, bool all)
{
    while (peer->out_bytes > 0) {
        size_t len = all ? peer->out_bytes : (size_t)rng_between(&room->rng, 1, peer->out_bytes);
        ssize_t n = send(peer->fd, peer->out, len, MSG_NOSIGNAL | MSG_DONTWAIT);
        assert_seed(room->seed, n > 0 || errno == EAGAIN);
        if (n > 0) {
            memmove(peer->out, peer->out + n, peer->out_bytes - (size_t)n);
            peer->out_bytes -= (size_t)n;
            peer->sent += (uint64_t)n;
        }
        if (n <= 0 || !all) {
            return;
        }
    }
}

/* An answer: to one request that was sent whole, and once. */
static void peer_answered(struct room *room, struct peer *peer, const uint8_t *bytes, size_t len)
{
    unsigned at = 0;
    for (; at < peer->asked_count; at++) {
        const struct asked *asked = &peer->asked[at];
        if (len >= asked->header_bytes && memcmp(bytes, asked->header, asked->header_bytes) == 0) {
            break;
        }
    }
    assert_seed(room->seed, at < peer->asked_count); /* the id is one of those that are asked */
    const struct asked *asked = &peer->asked[at];
    assert_seed(room->seed, asked->end <= peer->sent);
    static uint8_t expected[BODY_MAX + 1];
    expected[0] = 'A';
    body_fill(expected + 1, asked->len, asked->number);
    assert_seed(room->seed, len == asked->header_bytes + asked->len + 1);
    assert_seed(room->seed, memcmp(bytes + asked->header_bytes, expected, asked->len + 1) == 0);
    peer->asked[at] = peer->asked[--peer->asked_count];
    room->answers++;
}

/* Takes what is whole; how many bytes that were. */
static size_t peer_parse(struct room *room, struct peer *peer)
{
    static const uint8_t greeting[8] = {0, 'S', 'P', 0, 0, 0x31, 0, 0};
    if (!peer->greeted) {
        if (peer->in_bytes < sizeof greeting) {
            return 0;
        }
        assert_memory_equal(peer->in, greeting, sizeof greeting);
        peer->greeted = true;
        return sizeof greeting;
    }
    size_t head = room->ipc ? 9 : 8;
    if (peer->in_bytes < head) {
        return 0;
    }
    size_t len = 0;
    for (unsigned i = 0; i < 8; i++) {
        len = len << 8 | peer->in[head - 8 + i];
    }
    assert_seed(room->seed, !room->ipc || peer->in[0] == 1);
    assert_seed(room->seed, len <= BODY_MAX + 1 + HEADER_MAX);
    if (peer->in_bytes < head + len) {
        return 0;
    }
    peer_answered(room, peer, peer->in + head, len);
    return head + len;
}

static void peer_receive(struct room *room, struct peer *peer)
{
    for (;;) {
        ssize_t n = recv(peer->fd, peer->in + peer->in_bytes, sizeof peer->in - peer->in_bytes,
                         MSG_DONTWAIT);
        assert_seed(room->seed, n > 0 || (n < 0 && errno == EAGAIN)); /* nobody hangs up on us */
        if (n < 0) {
            return;
        }
        peer->in_bytes += (size_t)n;
        size_t taken;
        while ((taken = peer_parse(room, peer)) > 0) {
            peer->in_bytes -= taken;
            memmove(peer->in, peer->in + taken, peer->in_bytes);
        }
    }
}

static void room_act(struct room *room)
{
    struct peer *peer = &room->peers[rng_below(&room->rng, PEERS)];
    if (peer->fd < 0) {
        peer_dial(room, peer);
    }
    switch (rng_below(&room->rng, 16)) {
    case 0:
        if (rng_chance(&room->rng, 4)) {
            peer_hang_up(room, peer); /* in the middle of whatever there is */
            return;
        }
        break;
    case 1:
        sleep_ms((unsigned)rng_below(&room->rng, 2));
        break;
    case 2:
    case 3:
    case 4:
        peer_send(room, peer, rng_chance(&room->rng, 2));
        break;
    case 5:
    case 6:
        break;
    default:
        peer_ask(room, peer);
        break;
    }
    peer_receive(room, peer);
}

/* All that was asked and not given up is answered. */
static void room_settle(struct room *room)
{
    uint64_t until = patience_until();
    bool waiting = true;
    while (waiting) {
        waiting = false;
        for (unsigned i = 0; i < PEERS; i++) {
            struct peer *peer = &room->peers[i];
            if (peer->fd >= 0) {
                peer_send(room, peer, true);
                peer_receive(room, peer);
                waiting |= peer->asked_count > 0 || peer->out_bytes > 0;
            }
        }
        assert_seed(room->seed, now_ms() < until);
        if (waiting) {
            sleep_ms(1);
        }
    }
}

/* As many requests are in hand at once as there are exchanges: none has been lost. */
static void room_count_exchanges(struct room *room, unsigned contexts)
{
    struct peer *peer = &room->peers[0];
    uint64_t until = patience_until();
    late_hold_all(&room->late, true);
    if (peer->fd < 0) {
        peer_dial(room, peer);
    }
    for (unsigned i = 0; i < contexts; i++) {
        peer_ask(room, peer);
    }
    peer_send(room, peer, true);
    while (late_held(&room->late) < contexts) {
        peer_send(room, peer, true);
        assert_seed(room->seed, now_ms() < until);
        sleep_ms(1);
    }
    late_hold_all(&room->late, false);
    room_settle(room);
}

static void room_run(uint64_t seed, const char *dir)
{
    static struct room room;
    char url[256] = "tcp://127.0.0.1:0";
    room.seed = seed;
    rng_init(&room.rng, seed);
    room.ipc = rng_chance(&room.rng, 3);
    room.number = seed << 20;
    if (room.ipc) {
        (void)snprintf(url, sizeof url, "ipc://%s/socket", dir);
    }
    unsigned contexts = (unsigned)rng_between(&room.rng, 1, 12);
    late_start(&room.late, url, contexts, seed);
    for (unsigned i = 0; i < PEERS; i++) {
        room.peers[i].fd = -1;
    }
    for (unsigned i = 0; i < ACTIONS; i++) {
        room_act(&room);
    }
    room_settle(&room);
    room_count_exchanges(&room, contexts);
    for (unsigned i = 0; i < PEERS; i++) {
        if (rng_chance(&room.rng, 2)) { /* the others do nothing while the server ends */
            peer_hang_up(&room, &room.peers[i]);
        }
    }
    late_stop(&room.late);
    for (unsigned i = 0; i < PEERS; i++) {
        peer_hang_up(&room, &room.peers[i]);
    }
}

static void server_answers_each_request_on_its_connection_with_its_id(void **state)
{
    (void)state;
    char *dir = tempdir_make();
    uint64_t first = rng_seed_from_env(1);
    struct budget budget = budget_make("rounds of requests", 10, 3.0, 5000);
    while (budget_next(&budget)) {
        room_run(first + budget.round, dir);
    }
    tempdir_remove(dir);
}

/* ---- Many threads, one client ---- */

#define THREADS 16u
#define CALLS   625u /* of each: 10 000 in all */

struct asker {
    pthread_t thread;
    struct transport_client *client;
    unsigned index;
    pthread_mutex_t lock; /* ended, fine */
    pthread_cond_t wake;
    struct transport_call call;
    uint64_t number;
    bool ended;
    bool fine;
};

static void asker_done(struct transport_call *call, enum hf_status status, struct bytes reply)
{
    struct asker *asker = call->user;
    uint8_t expected[33] = {'A'};
    body_fill(expected + 1, 32, asker->number);
    pthread_mutex_lock(&asker->lock);
    asker->fine = status == HF_OK && !asker->ended && reply.len == sizeof expected &&
                  memcmp(reply.data, expected, sizeof expected) == 0;
    asker->ended = true;
    pthread_cond_signal(&asker->wake);
    pthread_mutex_unlock(&asker->lock);
}

static void *asker_run(void *arg)
{
    struct asker *asker = arg;
    for (unsigned i = 0; i < CALLS; i++) {
        uint8_t body[32];
        asker->number = (uint64_t)asker->index << 32 | i;
        asker->ended = false;
        asker->call.done = asker_done;
        asker->call.user = asker;
        body_fill(body, sizeof body, asker->number);
        assert_int_equal(transport_client_call(asker->client, &asker->call,
                                               (struct bytes){body, sizeof body}, PATIENCE_MS),
                         HF_OK);
        memset(body, 0, sizeof body);
        pthread_mutex_lock(&asker->lock);
        while (!asker->ended) {
            pthread_cond_wait(&asker->wake, &asker->lock);
        }
        assert_true(asker->fine);
        pthread_mutex_unlock(&asker->lock);
    }
    return NULL;
}

static void client_gives_10000_calls_of_16_threads_their_own_answers(void **state)
{
    (void)state;
    struct late_server late;
    struct transport_client *client;
    static struct asker askers[THREADS];
    late_start(&late, "tcp://127.0.0.1:0", 8, 1);
    assert_int_equal(transport_client_open(&client, late.url, THREADS), HF_OK);
    for (unsigned i = 0; i < THREADS; i++) {
        askers[i] = (struct asker){.client = client, .index = i};
        pthread_mutex_init(&askers[i].lock, NULL);
        pthread_cond_init(&askers[i].wake, NULL);
        assert_int_equal(pthread_create(&askers[i].thread, NULL, asker_run, &askers[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(askers[i].thread, NULL);
        pthread_cond_destroy(&askers[i].wake);
        pthread_mutex_destroy(&askers[i].lock);
    }
    assert_int_equal(transport_client_connections(client), 1);
    late_stop(&late);
    transport_client_close(client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(server_answers_each_request_on_its_connection_with_its_id),
        cmocka_unit_test(client_gives_10000_calls_of_16_threads_their_own_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
