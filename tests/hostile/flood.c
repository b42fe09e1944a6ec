/* flood.c - a client that costs little: it sends messages that were encoded before, over many
 * connections, and keeps account of the answers. hostile.py makes the messages and starts it.
 *
 *   hostile_flood --port N --messages FILE --message-bytes N [--NAME VALUE]...
 *
 * FILE holds one frame or more of one size, complete with SP's header. They are sent in turn; only
 * the request id and `counters` numbers of 8 bytes from `counter-at` on, which make ids of orders
 * unique, are written anew in each.
 *
 *   --rate N         messages a second are due (open loop); 0: as many as the rest allows
 *   --in-flight N    at most so many without an answer on a connection; 0: as sockets take them
 *   --once 1         each message has a connection of its own, and its time begins with connecting
 *   --samples FILE   a record for each answer (struct sample)
 *
 * A message's time begins when the socket has taken its last byte. Answers are matched by their
 * request ids. SIGTERM, or --seconds, ends sending; then answers are awaited for --drain-ms. At the
 * end it prints one JSON object. One thread. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "base/histogram.h"

#define OUT_BYTES     ((size_t)65536)
#define IN_BYTES      ((size_t)262144)
#define RING          65536u /* messages without an answer on a connection, at most */
#define WINDOW_NS     100000000u
#define WINDOWS       4096u
#define TICK_NS       10000000u
#define RECONNECT_NS  100000000u
#define STATUSES      256u
#define NO_ANSWER     255u /* in a sample: none within --give-up-ms, or the connection ended */
#define NO_CONNECTION 254u

struct options {
    uint64_t port, from, sources, connections, rate, in_flight, once, message_bytes, counter_at;
    uint64_t counters, timeout_ms, give_up_ms, drain_ms, milliseconds;
    const char *messages;
    const char *samples;
};

/* hostile.py reads these. */
struct sample {
    uint64_t at_ns; /* when its time began, of the monotonic clock */
    uint64_t took_ns;
    uint32_t status; /* the order's where the message has one; NO_ANSWER, NO_CONNECTION */
    uint32_t lag_us; /* of open loop: how late this client was with sending it */
};

enum state { CLOSED, CONNECTING, GREETING, OPEN };

struct stamp {
    uint64_t at_ns; /* 0: not handed over yet, or answered */
    uint32_t lag_us;
};

/* Messages are numbered by connection. tail <= handed <= made: before `tail` all are answered,
 * before `handed` the socket has them, before `made` they are in `out`. */
struct connection {
    int fd;
    enum state state;
    bool blocked;
    uint64_t since_ns; /* of the state */
    uint64_t tail, handed, made;
    uint64_t waiting;   /* made, and without an answer */
    uint64_t out_first; /* number of the message that begins at out[0] */
    size_t out_len, out_at, in_len;
    uint32_t lag_us; /* of the message of --once */
    struct stamp *stamps;
    uint8_t *out, *in;
};

static struct options options = {
    .from = INADDR_LOOPBACK, .sources = 1, .connections = 1, .give_up_ms = 3000, .drain_ms = 3000};
static struct connection *all;
static uint8_t *frames;
static size_t frame_count, next_frame;
static uint64_t next_counter;
static size_t ring;
static int poll_fd, timer_fd;
static FILE *samples;
static volatile sig_atomic_t asked_to_end;
static uint64_t started_ns, ended_ns, produced, now_ns;
static bool sending = true;
static bool gave; /* without a rate: there may be room for more at once */

static struct {
    uint64_t sent, unsent, answers, orders_ok, messages_ok, late, none, disconnected, unconnected;
    uint64_t strange, retries, status[STATUSES];
    struct histogram took, retry_ms, lag_us;
    uint64_t window[WINDOWS];
} total;

static _Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
static _Noreturn void fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("hostile_flood: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(1);
}

static uint64_t clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* ---- Answers ---- */

/* A reader of protobuf, which keeps to its end whatever it reads. */
struct reader {
    const uint8_t *at, *end;
};

static uint64_t read_varint(struct reader *reader)
{
    uint64_t value = 0;
    for (unsigned shift = 0; reader->at < reader->end && shift < 64; shift += 7) {
        uint8_t byte = *reader->at++;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            break;
        }
    }
    return value;
}

/* The next field: its number, 0 at the end. A varint's value, or the bytes of what has a length. */
static unsigned read_field(struct reader *reader, uint64_t *value, struct reader *inner)
{
    if (reader->at >= reader->end) {
        return 0;
    }
    uint64_t key = read_varint(reader);
    size_t left = (size_t)(reader->end - reader->at);
    size_t take = (key & 7) == 1 ? 8 : (key & 7) == 5 ? 4 : 0;
    *value = 0;
    if ((key & 7) == 0) {
        *value = read_varint(reader);
    } else if ((key & 7) == 2) {
        take = (size_t)read_varint(reader);
        left = (size_t)(reader->end - reader->at);
    }
    take = take < left ? take : left;
    *inner = (struct reader){reader->at, reader->at + take};
    reader->at += take;
    return (unsigned)(key >> 3);
}

/* A field that is a number. 0 when it is left out. */
static uint64_t number_in(struct reader reader, unsigned wanted)
{
    uint64_t value;
    uint64_t found = 0;
    struct reader inner;
    for (unsigned field; (field = read_field(&reader, &value, &inner)) != 0;) {
        found = field == wanted ? value : found;
    }
    return found;
}

/* A field that has a length. False when it is left out. */
static bool message_in(struct reader reader, unsigned wanted, struct reader *found)
{
    uint64_t value;
    for (unsigned field; (field = read_field(&reader, &value, found)) != 0;) {
        if (field == wanted) {
            return true;
        }
    }
    return false;
}

struct answer {
    unsigned status;
    uint64_t orders_ok, retry_ms;
};

/* Response: 1 status, 4 retry_after_ms, 10 orders {1 results {1 status}}, 11 batch {1 ok_count}. */
static struct answer read_answer(const uint8_t *bytes, size_t len)
{
    struct reader response = {bytes, bytes + len};
    struct reader body;
    struct reader result;
    struct answer answer = {.status = (unsigned)number_in(response, 1) % NO_CONNECTION,
                            .retry_ms = number_in(response, 4)};
    if (answer.status != 0) {
        return answer;
    }
    if (message_in(response, 11, &body)) {
        answer.orders_ok = number_in(body, 1);
    } else if (message_in(response, 10, &body) && message_in(body, 1, &result)) {
        answer.status = (unsigned)number_in(result, 1) % NO_CONNECTION;
        answer.orders_ok = answer.status == 0;
    }
    return answer;
}

/* ---- Account ---- */

static void note_sample(struct stamp stamp, uint64_t took_ns, unsigned status)
{
    struct sample sample = {stamp.at_ns, took_ns, status, stamp.lag_us};
    if (samples && fwrite(&sample, sizeof sample, 1, samples) != 1) {
        fail("the samples can't be written: %s", strerror(errno));
    }
}

static void note_answer(struct stamp stamp, const uint8_t *bytes, size_t len)
{
    struct answer answer = read_answer(bytes, len);
    uint64_t took_ns = now_ns - stamp.at_ns;
    total.answers++;
    total.status[answer.status]++;
    total.orders_ok += answer.orders_ok;
    if (answer.status == 0) {
        total.messages_ok++;
        histogram_add(&total.took, took_ns);
        total.late += options.timeout_ms && took_ns > (options.timeout_ms + 10) * 1000000;
        uint64_t window = (now_ns - started_ns) / WINDOW_NS;
        total.window[window < WINDOWS ? window : WINDOWS - 1] += answer.orders_ok;
    } else if (answer.retry_ms) {
        histogram_add(&total.retry_ms, answer.retry_ms);
    }
    note_sample(stamp, took_ns, answer.status);
}

static void note_missing(struct connection *connection, uint64_t number, unsigned status)
{
    struct stamp *stamp = &connection->stamps[number % ring];
    if (stamp->at_ns) {
        total.none++;
        note_sample(*stamp, now_ns - stamp->at_ns, status);
        stamp->at_ns = 0;
        connection->waiting--;
    }
}

static void advance_tail(struct connection *connection)
{
    while (connection->tail < connection->handed &&
           connection->stamps[connection->tail % ring].at_ns == 0) {
        connection->tail++;
    }
}

/* ---- Connections ---- */

static void watch(struct connection *connection, int how, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = connection};
    if (epoll_ctl(poll_fd, how, connection->fd, &event) != 0) {
        fail("epoll_ctl: %s", strerror(errno));
    }
}

/* Whatever has no answer will have none. */
static void close_connection(struct connection *connection)
{
    now_ns = clock_ns();
    for (uint64_t number = connection->tail; number < connection->handed; number++) {
        note_missing(connection, number, NO_ANSWER);
    }
    total.unsent += connection->made - connection->handed;
    connection->tail = connection->handed = connection->made;
    connection->out_len = connection->out_at = connection->in_len = 0;
    connection->waiting = 0;
    close(connection->fd);
    connection->fd = -1;
    connection->state = CLOSED;
    connection->since_ns = now_ns;
}

/* It did not come about, or not in time: with --once its message has failed. */
static void connecting_failed(struct connection *connection)
{
    now_ns = clock_ns();
    total.unconnected++;
    if (options.once) {
        struct stamp stamp = {connection->since_ns, connection->lag_us};
        total.none++;
        note_sample(stamp, now_ns - connection->since_ns, NO_CONNECTION);
    }
    close_connection(connection);
}

static void connection_ended(struct connection *connection)
{
    bool in_vain = options.once && connection->handed < connection->made;
    if (connection->state != OPEN || in_vain) {
        connecting_failed(connection);
        return;
    }
    total.disconnected++;
    close_connection(connection);
}

static void begin_connection(struct connection *connection)
{
    static uint32_t source;
    int on = 1;
    struct sockaddr_in from = {.sin_family = AF_INET};
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)options.port)};
    from.sin_addr.s_addr = htonl((uint32_t)(options.from + source++ % options.sources));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connection->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (connection->fd < 0) {
        fail("socket: %s", strerror(errno));
    }
    setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(connection->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    connection->state = CONNECTING;
    connection->since_ns = clock_ns();
    connection->blocked = false;
    if (bind(connection->fd, (struct sockaddr *)&from, sizeof from) != 0) {
        fail("bind: %s", strerror(errno));
    }
    if (connect(connection->fd, (struct sockaddr *)&to, sizeof to) != 0 && errno != EINPROGRESS) {
        if (errno == EADDRNOTAVAIL) {
            total.unsent += options.once; /* this side has no port left */
            close_connection(connection);
        } else {
            connecting_failed(connection);
        }
        return;
    }
    watch(connection, EPOLL_CTL_ADD, EPOLLIN | EPOLLOUT);
}

static void greet(struct connection *connection)
{
    static const uint8_t hello[8] = {0, 'S', 'P', 0, 0, 0x30, 0, 0};
    if (send(connection->fd, hello, sizeof hello, MSG_NOSIGNAL) != (ssize_t)sizeof hello) {
        connecting_failed(connection);
        return;
    }
    connection->state = GREETING; /* its time goes on from the beginning of connecting */
    watch(connection, EPOLL_CTL_MOD, EPOLLIN);
}

/* ---- Sending ---- */

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* How many more messages a connection may be given. */
static uint64_t room_of(const struct connection *connection)
{
    if (connection->state != OPEN || connection->blocked || connection->out_len > 0) {
        return 0;
    }
    uint64_t most = options.in_flight ? options.in_flight : ring;
    uint64_t room = ring - (connection->made - connection->tail);
    return connection->waiting < most ? least(room, most - connection->waiting) : 0;
}

static void make_message(struct connection *connection)
{
    uint8_t *at = connection->out + connection->out_len;
    uint32_t id = htonl(0x80000000u | (uint32_t)(connection->made & 0x7fffffff));
    memcpy(at, frames + next_frame * options.message_bytes, options.message_bytes);
    next_frame = (next_frame + 1) % frame_count;
    memcpy(at + 8, &id, sizeof id);
    for (uint64_t i = 0; i < options.counters; i++) {
        next_counter++;
        memcpy(at + options.counter_at + 8 * i, &next_counter, 8);
    }
    connection->stamps[connection->made % ring].at_ns = 0;
    connection->made++;
    connection->waiting++;
    connection->out_len += options.message_bytes;
}

static void stamp_handed(struct connection *connection, uint64_t at_ns)
{
    uint64_t whole = connection->out_first + connection->out_at / options.message_bytes;
    for (; connection->handed < whole; connection->handed++) {
        struct stamp *stamp = &connection->stamps[connection->handed % ring];
        *stamp = (struct stamp){options.once ? connection->since_ns : at_ns, connection->lag_us};
        total.sent++;
    }
}

static void flush(struct connection *connection)
{
    ssize_t sent = send(connection->fd, connection->out + connection->out_at,
                        connection->out_len - connection->out_at, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN && errno != EINTR) {
        connection_ended(connection);
        return;
    }
    connection->out_at += sent > 0 ? (size_t)sent : 0;
    stamp_handed(connection, clock_ns());
    bool was_blocked = connection->blocked;
    connection->blocked = connection->out_at < connection->out_len;
    if (!connection->blocked) {
        connection->out_at = connection->out_len = 0;
    }
    if (connection->blocked != was_blocked) {
        watch(connection, EPOLL_CTL_MOD, connection->blocked ? EPOLLIN | EPOLLOUT : EPOLLIN);
    }
}

static void give(struct connection *connection, uint64_t count)
{
    connection->out_first = connection->made;
    for (uint64_t i = 0; i < count; i++) {
        make_message(connection);
    }
    flush(connection);
}

/* Gives up to `due` messages to connections in turn. Returns how many found room. */
static uint64_t spread(uint64_t due)
{
    static uint64_t turn;
    uint64_t one_write = OUT_BYTES / options.message_bytes;
    uint64_t share = least(due / options.connections + 1, one_write ? one_write : 1);
    uint64_t given = 0;
    for (uint64_t i = 0; i < options.connections && given < due; i++) {
        struct connection *connection = &all[turn++ % options.connections];
        uint64_t count = least(least(share, due - given), room_of(connection));
        if (count > 0) {
            give(connection, count);
            given += count;
        }
    }
    return given;
}

/* With --once: each due message makes a connection of its own. */
static uint64_t spread_once(uint64_t due, uint32_t lag_us)
{
    static uint64_t turn;
    uint64_t given = 0;
    for (uint64_t i = 0; i < options.connections && given < due; i++) {
        struct connection *connection = &all[turn++ % options.connections];
        if (connection->state == CLOSED) {
            connection->lag_us = lag_us;
            begin_connection(connection);
            given++;
        }
    }
    return given;
}

static void produce(void)
{
    if (options.rate == 0) {
        gave = spread(UINT64_MAX / 2) > 0;
        return;
    }
    double passed_s = (double)(now_ns - started_ns) / 1e9;
    uint64_t due = (uint64_t)(passed_s * (double)options.rate) - produced;
    if (due == 0) {
        return;
    }
    double oldest_s = passed_s - (double)(produced + 1) / (double)options.rate;
    uint32_t lag_us = (uint32_t)(oldest_s > 0 ? 1e6 * oldest_s : 0);
    histogram_add(&total.lag_us, lag_us);
    for (uint64_t i = 0; i < options.connections && !options.once; i++) {
        all[i].lag_us = lag_us;
    }
    uint64_t given = options.once ? spread_once(due, lag_us) : spread(due);
    total.unsent += due - given; /* nobody takes it now: the buyer who would have sent it is gone */
    produced += due;
}

/* ---- Receiving ---- */

static bool take_frame(struct connection *connection, const uint8_t *frame, size_t len)
{
    uint32_t id;
    memcpy(&id, frame, 4);
    uint64_t behind = ((uint64_t)ntohl(id) - connection->tail) & 0x7fffffff;
    uint64_t number = connection->tail + behind;
    if (number >= connection->handed) {
        total.strange++; /* an answer to what was not sent, or answered already */
        return true;
    }
    struct stamp *stamp = &connection->stamps[number % ring];
    if (stamp->at_ns) {
        note_answer(*stamp, frame + 4, len - 4);
        stamp->at_ns = 0;
        connection->waiting--;
    }
    advance_tail(connection);
    return !options.once;
}

/* Takes the answers that are complete. False: the connection is done with. */
static bool take_frames(struct connection *connection)
{
    size_t at = 0;
    while (connection->in_len - at >= 12) {
        uint64_t len = 0;
        for (int i = 0; i < 8; i++) {
            len = len << 8 | connection->in[at + (size_t)i];
        }
        if (len < 4 || len > IN_BYTES - 8) {
            fail("an answer of %llu bytes", (unsigned long long)len);
        }
        if (connection->in_len - at < 8 + len) {
            break;
        }
        if (!take_frame(connection, connection->in + at + 8, len)) {
            return false;
        }
        at += 8 + len;
    }
    connection->in_len -= at;
    memmove(connection->in, connection->in + at, connection->in_len);
    return true;
}

static void receive(struct connection *connection)
{
    ssize_t got =
        recv(connection->fd, connection->in + connection->in_len, IN_BYTES - connection->in_len, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (got <= 0) {
        connection_ended(connection);
        return;
    }
    connection->in_len += (size_t)got;
    if (connection->state == GREETING) {
        if (connection->in_len < 8) {
            return;
        }
        connection->in_len -= 8;
        memmove(connection->in, connection->in + 8, connection->in_len);
        connection->state = OPEN;
        if (options.once) {
            give(connection, 1);
            return;
        }
    }
    if (connection->state == OPEN && !take_frames(connection)) {
        close_connection(connection);
    }
}

static void serve(struct connection *connection, uint32_t events)
{
    if (connection->state == CONNECTING) {
        int error = 0;
        socklen_t len = sizeof error;
        getsockopt(connection->fd, SOL_SOCKET, SO_ERROR, &error, &len);
        if (error != 0) {
            connecting_failed(connection);
        } else if (events & EPOLLOUT) {
            greet(connection);
        }
        return;
    }
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
        receive(connection);
    }
    if (connection->state == OPEN && connection->blocked && events & EPOLLOUT) {
        flush(connection);
    }
}

/* ---- The loop ---- */

static void tick_connection(struct connection *connection)
{
    uint64_t give_up_ns = options.give_up_ms * 1000000;
    if (connection->state == CLOSED) {
        if (sending && !options.once && now_ns - connection->since_ns > RECONNECT_NS) {
            begin_connection(connection);
        }
    } else if (connection->state != OPEN) {
        if (now_ns - connection->since_ns > give_up_ns) {
            connecting_failed(connection);
        }
    } else {
        struct stamp *stamp = &connection->stamps[connection->tail % ring];
        while (connection->tail < connection->handed && now_ns - stamp->at_ns > give_up_ns) {
            note_missing(connection, connection->tail, NO_ANSWER);
            advance_tail(connection);
            stamp = &connection->stamps[connection->tail % ring];
            if (options.once) {
                close_connection(connection);
            }
        }
    }
}

static void tick(void)
{
    static uint64_t last_ns;
    if (now_ns - last_ns >= TICK_NS) {
        last_ns = now_ns;
        for (uint64_t i = 0; i < options.connections; i++) {
            tick_connection(&all[i]);
        }
    }
}

/* Nothing more to wait for. */
static bool all_answered(void)
{
    for (uint64_t i = 0; i < options.connections; i++) {
        bool busy = options.once ? all[i].state != CLOSED : all[i].tail < all[i].made;
        if (busy) {
            return false;
        }
    }
    return true;
}

/* The next message's time, or the next tick. */
static void set_timer(void)
{
    uint64_t wake_ns = now_ns + (sending && gave ? 1 : TICK_NS);
    if (sending && options.rate) {
        double due_s = (double)(produced + 1) / (double)options.rate;
        uint64_t due_ns = started_ns + (uint64_t)(1e9 * due_s);
        wake_ns = due_ns < wake_ns ? due_ns : wake_ns;
    }
    struct itimerspec at = {
        .it_value = {(time_t)(wake_ns / 1000000000u), (long)(wake_ns % 1000000000u)}};
    timerfd_settime(timer_fd, TFD_TIMER_ABSTIME, &at, NULL);
}

static void run_step(void)
{
    struct epoll_event events[256];
    set_timer();
    int count = epoll_wait(poll_fd, events, 256, -1);
    now_ns = clock_ns();
    for (int i = 0; i < count; i++) {
        struct connection *connection = events[i].data.ptr;
        if (!connection) {
            uint64_t times;
            (void)!read(timer_fd, &times, sizeof times);
        } else if (connection->fd >= 0) {
            now_ns = clock_ns();
            serve(connection, events[i].events);
        }
    }
    now_ns = clock_ns();
    tick();
}

static void run(void)
{
    uint64_t end_ns =
        options.milliseconds ? started_ns + options.milliseconds * 1000000 : UINT64_MAX;
    while (!asked_to_end && now_ns < end_ns) {
        produce();
        run_step();
    }
    sending = false;
    ended_ns = now_ns;
    uint64_t drained_ns = now_ns + options.drain_ms * 1000000;
    while (!all_answered() && now_ns < drained_ns) {
        run_step();
    }
}

/* All but --once connect before anything is sent. */
static void connect_all(void)
{
    now_ns = started_ns = clock_ns();
    uint64_t end_ns = now_ns + options.give_up_ms * 1000000;
    uint64_t begun = 0;
    bool waiting = !options.once;
    while (waiting && !asked_to_end && now_ns < end_ns) {
        for (int i = 0; i < 64 && begun < options.connections; i++) {
            begin_connection(&all[begun++]);
        }
        run_step();
        waiting = begun < options.connections;
        for (uint64_t i = 0; i < options.connections; i++) {
            waiting = waiting || all[i].state != OPEN;
        }
    }
    now_ns = started_ns = clock_ns();
}

/* ---- Beginning and end ---- */

static void end_on_signal(int number)
{
    (void)number;
    asked_to_end = 1;
}

static void read_option(const char *name, const char *value)
{
    const struct {
        const char *name;
        uint64_t *number;
    } numbers[] = {
        {"--port", &options.port},
        {"--from", &options.from},
        {"--sources", &options.sources},
        {"--connections", &options.connections},
        {"--rate", &options.rate},
        {"--in-flight", &options.in_flight},
        {"--once", &options.once},
        {"--message-bytes", &options.message_bytes},
        {"--counter-at", &options.counter_at},
        {"--counters", &options.counters},
        {"--timeout-ms", &options.timeout_ms},
        {"--give-up-ms", &options.give_up_ms},
        {"--drain-ms", &options.drain_ms},
        {"--milliseconds", &options.milliseconds},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        if (strcmp(name, numbers[i].name) == 0) {
            *numbers[i].number = strtoull(value, NULL, 10);
            return;
        }
    }
    if (strcmp(name, "--messages") == 0) {
        options.messages = value;
    } else if (strcmp(name, "--samples") == 0) {
        options.samples = value;
    } else {
        fail("%s: no such option", name);
    }
}

static void read_frames(void)
{
    FILE *file = options.messages ? fopen(options.messages, "rb") : NULL;
    if (!file || fseek(file, 0, SEEK_END) != 0) {
        fail("--messages: %s", strerror(errno));
    }
    long size = ftell(file);
    rewind(file);
    frame_count = options.message_bytes ? (size_t)size / options.message_bytes : 0;
    frames = malloc((size_t)size + 1);
    if (!frames || frame_count == 0 || fread(frames, 1, (size_t)size, file) != (size_t)size) {
        fail("%s has no message", options.messages);
    }
    fclose(file);
}

static void make_connections(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    size_t out_bytes = OUT_BYTES > options.message_bytes ? OUT_BYTES : options.message_bytes;
    ring = options.once ? 1 : options.in_flight ? 4 * options.in_flight : RING;
    all = calloc(options.connections, sizeof *all);
    for (uint64_t i = 0; all && i < options.connections; i++) {
        struct connection *connection = &all[i];
        connection->fd = -1;
        connection->stamps = calloc(ring, sizeof *connection->stamps);
        connection->out = malloc(out_bytes);
        connection->in = malloc(IN_BYTES);
        if (!connection->stamps || !connection->out || !connection->in) {
            fail("no memory");
        }
    }
    poll_fd = epoll_create1(EPOLL_CLOEXEC);
    timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    if (!all || poll_fd < 0 || timer_fd < 0 ||
        epoll_ctl(poll_fd, EPOLL_CTL_ADD, timer_fd, &event) != 0) {
        fail("%s", strerror(errno));
    }
}

static void print_histogram(const char *name, const struct histogram *histogram, double divisor)
{
    static const struct {
        const char *name;
        double share;
    } shares[] = {{"min", 0}, {"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p999", 0.999}};
    printf(", \"%s\": {\"count\": %llu, \"max\": %.1f", name, (unsigned long long)histogram->count,
           (double)histogram->max / divisor);
    for (size_t i = 0; i < sizeof shares / sizeof shares[0]; i++) {
        printf(", \"%s\": %.1f", shares[i].name,
               (double)histogram_quantile(histogram, shares[i].share) / divisor);
    }
    printf("}");
}

static void print_total(uint64_t finished_ns)
{
    const struct {
        const char *name;
        uint64_t count;
    } counts[] = {
        {"sent", total.sent},
        {"unsent", total.unsent},
        {"answers", total.answers},
        {"orders_ok", total.orders_ok},
        {"messages_ok", total.messages_ok},
        {"late", total.late},
        {"none", total.none},
        {"disconnected", total.disconnected},
        {"unconnected", total.unconnected},
        {"strange", total.strange},
    };
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("{\"sending_s\": %.3f, \"drain_s\": %.3f, \"cpu_s\": %.3f",
           (double)(ended_ns - started_ns) / 1e9, (double)(finished_ns - ended_ns) / 1e9,
           (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
               (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6);
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        printf(", \"%s\": %llu", counts[i].name, (unsigned long long)counts[i].count);
    }
    printf(", \"status\": {");
    const char *comma = "";
    for (unsigned i = 0; i < STATUSES; i++) {
        if (total.status[i]) {
            printf("%s\"%u\": %llu", comma, i, (unsigned long long)total.status[i]);
            comma = ", ";
        }
    }
    printf("}");
    print_histogram("took_us", &total.took, 1e3);
    print_histogram("retry_ms", &total.retry_ms, 1);
    print_histogram("lag_us", &total.lag_us, 1);
    printf(", \"windows\": [");
    uint64_t windows = (finished_ns - started_ns) / WINDOW_NS;
    for (uint64_t i = 0; i < windows && i < WINDOWS; i++) {
        printf("%s%llu", i ? ", " : "", (unsigned long long)total.window[i]);
    }
    printf("]}\n");
}

int main(int argc, char **argv)
{
    for (int i = 1; i + 1 < argc; i += 2) {
        read_option(argv[i], argv[i + 1]);
    }
    signal(SIGTERM, end_on_signal);
    signal(SIGINT, end_on_signal);
    read_frames();
    make_connections();
    samples = options.samples ? fopen(options.samples, "wb") : NULL;
    next_counter = clock_ns();
    connect_all();
    run();
    uint64_t finished_ns = now_ns;
    for (uint64_t i = 0; i < options.connections; i++) {
        if (all[i].state != CLOSED) {
            close_connection(&all[i]);
        }
    }
    if (samples && fclose(samples) != 0) {
        fail("the samples can't be written: %s", strerror(errno));
    }
    print_total(finished_ns);
    return 0;
}
