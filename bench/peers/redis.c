/* redis.c - holds in Redis: one Lua script that does what a reserve does.
 *
 * --mode prepare sets the stock of --skus SKUs, --mode prepare-sold-out sets it to 0. Otherwise
 * --connections threads, each with its own connection and --in-flight calls under way on it, call
 * the script with --batch orders a call.
 *
 * An order is a key of 18 bytes, as is fit for a 16-byte id; its value is the hold: SKU, quantity
 * and deadline, which is what releasing it would need. It carries no expiry of Redis' own: that
 * would cost, and could not give the units back. With --mode expiring its deadline also goes to a
 * sorted set, where somebody who gives overdue units back would find it. The answer is one number
 * when every order was held, else one number an order; Holdfast's answer is as short. With --mode
 * refusing nothing is in stock, and the script only looks at that: it writes nothing, and would not
 * even know an order that was held before. Less can't be asked of it. */
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

#include "peer.h"

#define ORDER_KEY_BYTES   18u /* o: and the id */
#define STOCK_KEY_BYTES   16u
#define HOLD_BYTES        48u
#define STRINGS_PER_ORDER 4u
#define BATCH_MAX         1000u
#define STRINGS_MAX       (4 + STRINGS_PER_ORDER * BATCH_MAX)
#define IN_FLIGHT_MAX     256u
#define STOCK_EACH        1000000000u

/* KEYS: order, stock, order, stock, ...; ARGV: quantity, hold, quantity, hold, ...; for HELD also
 * the deadline. SETNX is both the check for a repeated id and the record. The rare cases undo. */
#define SCRIPT(HELD)                                                                               \
    "local call, refused = redis.call, nil\n"                                                      \
    "for i = 1, #KEYS, 2 do\n"                                                                     \
    "  local result = 1\n" /* held */                                                              \
    "  if call('SETNX', KEYS[i], ARGV[i + 1]) == 0 then\n"                                         \
    "    result = 2\n" /* replayed */                                                              \
    "  elseif call('DECRBY', KEYS[i + 1], ARGV[i]) < 0 then\n"                                     \
    "    call('INCRBY', KEYS[i + 1], ARGV[i])\n"                                                   \
    "    call('DEL', KEYS[i])\n"                                                                   \
    "    result = 0\n" /* sold out */                                                              \
        HELD "  end\n"                                                                             \
    "  if result ~= 1 then\n"                                                                      \
    "    refused = refused or {}\n"                                                                \
    "    refused[#refused + 1] = (i + 1) / 2 * 4 + result\n"                                       \
    "  end\n"                                                                                      \
    "end\n"                                                                                        \
    "return refused or 1\n"

static const char lean_script[] = SCRIPT("");
static const char expiring_script[] =
    SCRIPT("  else\n    call('ZADD', 'deadlines', ARGV[#ARGV], KEYS[i])\n");

static const char refusing_script[] =
    "for i = 2, #KEYS, 2 do\n"
    "  if tonumber(redis.call('GET', KEYS[i])) >= tonumber(ARGV[i - 1]) then\n"
    "    return redis.error_reply('there is stock')\n"
    "  end\n"
    "end\n"
    "return 0\n";

static bool in_mode(const struct peer_options *options, const char *mode)
{
    return options->mode && strcmp(options->mode, mode) == 0;
}

static redisContext *open_connection(const struct peer_options *options)
{
    struct timeval limit = {.tv_sec = 10};
    redisContext *redis = redisConnectWithTimeout(options->host, (int)options->port, limit);
    if (!redis || redis->err) {
        peer_fail("redis: %s", redis ? redis->errstr : "out of memory");
    }
    return redis;
}

static redisReply *checked(redisContext *redis, redisReply *reply)
{
    if (!reply) {
        peer_fail("redis: %s", redis->errstr);
    }
    if (reply->type == REDIS_REPLY_ERROR) {
        peer_fail("redis: %s", reply->str);
    }
    return reply;
}

static redisReply *next_reply(redisContext *redis)
{
    void *reply = NULL;
    if (redisGetReply(redis, &reply) != REDIS_OK) {
        peer_fail("redis: %s", redis->errstr);
    }
    return checked(redis, reply);
}

static void prepare(const struct peer_options *options, uint32_t stock_each)
{
    redisContext *redis = open_connection(options);
    for (uint32_t i = 0; i < options->skus; i++) {
        if (redisAppendCommand(redis, "SET s:%u %u", i, stock_each) != REDIS_OK) {
            peer_fail("redis: %s", redis->errstr);
        }
    }
    for (uint32_t i = 0; i < options->skus; i++) {
        freeReplyObject(next_reply(redis));
    }
    redisFree(redis);
}

/* One call's arguments; written anew for each call. */
struct call {
    const char *argv[STRINGS_MAX];
    size_t lengths[STRINGS_MAX];
    uint32_t count; /* of strings */
    char orders[BATCH_MAX][ORDER_KEY_BYTES];
    char stocks[BATCH_MAX][STOCK_KEY_BYTES];
    char holds[BATCH_MAX][HOLD_BYTES];
    char key_count[12];
    char deadline[24];
};

static void fill_order(struct call *call, struct peer_worker *worker, uint32_t at, uint64_t now_ms)
{
    uint32_t batch = worker->options->batch;
    uint32_t sku = peer_next_sku(worker);
    uint64_t id_lo = worker->next_lo++;
    char *order = call->orders[at];
    memcpy(order, "o:", 2);
    memcpy(order + 2, &worker->id_hi, sizeof worker->id_hi);
    memcpy(order + 10, &id_lo, sizeof id_lo);
    uint32_t key = 3 + 2 * at;
    uint32_t value = 3 + 2 * batch + 2 * at;
    call->argv[key] = order;
    call->lengths[key] = ORDER_KEY_BYTES;
    call->argv[key + 1] = call->stocks[at];
    call->lengths[key + 1] = (size_t)snprintf(call->stocks[at], STOCK_KEY_BYTES, "s:%u", sku);
    call->argv[value] = "1";
    call->lengths[value] = 1;
    call->argv[value + 1] = call->holds[at];
    call->lengths[value + 1] = (size_t)snprintf(call->holds[at], HOLD_BYTES, "%u 1 %llu", sku,
                                                (unsigned long long)now_ms + PEER_HOLD_MS);
}

static void send_call(redisContext *redis, struct call *call, struct peer_worker *worker)
{
    uint32_t batch = worker->options->batch;
    uint64_t now_ms = (uint64_t)time(NULL) * 1000;
    for (uint32_t i = 0; i < batch; i++) {
        fill_order(call, worker, i, now_ms);
    }
    if (in_mode(worker->options, "expiring")) {
        call->argv[call->count - 1] = call->deadline;
        call->lengths[call->count - 1] =
            (size_t)snprintf(call->deadline, sizeof call->deadline, "%llu",
                             (unsigned long long)now_ms + PEER_HOLD_MS);
    }
    if (redisAppendCommandArgv(redis, (int)call->count, call->argv, call->lengths) != REDIS_OK) {
        peer_fail("redis: %s", redis->errstr);
    }
}

static void work(struct peer_worker *worker)
{
    const struct peer_options *options = worker->options;
    redisContext *redis = open_connection(options);
    struct call *call = calloc(1, sizeof *call);
    if (!call) {
        peer_fail("out of memory");
    }
    bool expiring = in_mode(options, "expiring");
    bool refusing = in_mode(options, "refusing");
    const char *script = expiring ? expiring_script : refusing ? refusing_script : lean_script;
    redisReply *sha = checked(redis, redisCommand(redis, "SCRIPT LOAD %s", script));
    call->count = 3 + STRINGS_PER_ORDER * options->batch + (expiring ? 1 : 0);
    call->argv[0] = "EVALSHA";
    call->lengths[0] = 7;
    call->argv[1] = sha->str;
    call->lengths[1] = sha->len;
    call->argv[2] = call->key_count;
    call->lengths[2] =
        (size_t)snprintf(call->key_count, sizeof call->key_count, "%u", 2 * options->batch);

    /* A ring of sending times: replies come in the order of the calls. hiredis sends what is
     * waiting when it has no reply left to give. */
    uint64_t since[IN_FLIGHT_MAX];
    uint64_t sent = 0;
    uint64_t answered = 0;
    while (peer_goes_on()) {
        while (sent - answered < options->in_flight) {
            since[sent++ % IN_FLIGHT_MAX] = peer_now_ns();
            send_call(redis, call, worker);
        }
        redisReply *reply = next_reply(redis);
        if (reply->type != REDIS_REPLY_INTEGER || reply->integer != (refusing ? 0 : 1)) {
            peer_fail("redis: an order was refused, though there is stock");
        }
        freeReplyObject(reply);
        peer_count(worker, options->batch, since[answered++ % IN_FLIGHT_MAX]);
    }
    freeReplyObject(sha);
    redisFree(redis);
    free(call);
}

int main(int argc, char **argv)
{
    struct peer_options options;
    peer_options_parse(&options, argc, argv);
    if (options.port == 0 || options.batch > BATCH_MAX || options.in_flight > IN_FLIGHT_MAX) {
        peer_fail("--port is needed; --batch is at most %u, --in-flight %u", BATCH_MAX,
                  IN_FLIGHT_MAX);
    }
    if (in_mode(&options, "prepare")) {
        prepare(&options, STOCK_EACH);
    } else if (in_mode(&options, "prepare-sold-out")) {
        prepare(&options, 0);
    } else {
        peer_run(&options, work);
    }
    return 0;
}
