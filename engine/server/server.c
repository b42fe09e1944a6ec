/* server.c - joins transport, codec and engine, and sees to start and end.
 *
 * Threads: main waits for signals and watches the engine; requests come on the transport's
 * threads; answers leave on those or on the log's. An exchange's memory (struct exchange_memory)
 * belongs to one request at a time, from handle_request until transport_reply.
 *
 * SIGTERM or SIGINT: stop taking requests, answer those in hand, sync, exit 0. A second one exits
 * at once: the log is made for that. */
#include "server/server.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/usdt.h"
#include "io/identity.h"
#include "io/storage_directory.h"
#include "io/storage_open.h"
#include "rpc/transport.h"
#include "server/preflight.h"
#include "wire/codec.h"
#include "wire/peek.h"

#define WATCH_NS           100000000L /* how often main looks whether the log has failed */
#define DRAIN_MS           5000u
#define FAILED_DRAIN_MS    500u
#define EXIT_SECOND_SIGNAL 130
#define SP_ID_BYTES        4u /* in front of an answer: counted where a message's length is bounded */

/* What an exchange keeps from request to request. */
struct exchange_memory {
    struct arena arena;
    struct engine_call call;
    struct transport_exchange *exchange; /* NULL: no request is in hand */
};

struct server {
    const struct config *config;
    server_announce announce;
    int lock;
    int archive_lock;
    bool lock_made; /* by this start: a refusal takes it away again */
    bool archive_lock_made;
    struct timespec modified; /* the directories, before */
    struct timespec archive_modified;
    bool cluster_known; /* the data directory says which log is its own */
    struct id128 cluster;
    struct storage *storage;
    struct storage *archive; /* NULL: none */
    struct engine *engine;
    bool engine_opened;
    bool engine_started;
    struct transport_server *transport;
};

static_assert(HF_BUSY < 0x80 && HF_INTERNAL < 0x80, "a byte each in fixed_answer()");
static_assert(FAILED_DRAIN_MS < DRAIN_MS, "there is less to wait for after a failure");
static_assert(2 * TRANSPORT_HANDLERS_MAX < THREADS_MAX,
              "each handler may be in the core twice: within a pause too");
static_assert(WATCH_NS < 1000000000L, "tv_nsec");

/* ---- One exchange ---- */

static bool memory_init(void *context, void *user)
{
    (void)context;
    struct exchange_memory *memory = user;
    arena_init(&memory->arena, DECODE_ARENA_BYTES_MAX);
    memory->exchange = NULL;
    return true;
}

static void memory_deinit(void *context, void *user)
{
    (void)context;
    struct exchange_memory *memory = user;
    arena_deinit(&memory->arena);
}

/* Between requests an exchange keeps little: there are many of them. */
static void memory_clear(void *context, void *user)
{
    (void)context;
    struct exchange_memory *memory = user;
    arena_clear(&memory->arena);
}

/* When the answer can't be made: encoded by hand, for there may be no memory at all. What was
 * changed stays changed, and the caller may ask again with the same ids: when the machine had no
 * memory the answer asks for that; when it is too large for any, only the status can be sent. */
static struct bytes fixed_answer(const struct exchange_memory *memory)
{
    static const uint8_t starved[] = {1 << 3, HF_BUSY, 4 << 3, 0xE8, 0x07}; /* in 1000 ms */
    static const uint8_t failed[] = {1 << 3, HF_INTERNAL};
    return memory->arena.starved ? (struct bytes){starved, sizeof starved}
                                 : (struct bytes){failed, sizeof failed};
}

static void encode_instead(struct exchange_memory *memory, const struct response *response,
                           struct bytes *reply)
{
    memory->arena.cap_bytes += KIB(1); /* small enough, whatever was used up */
    if (codec_response_encode(&memory->arena, response, reply) != HF_OK) {
        *reply = fixed_answer(memory);
    }
}

/* A longer answer would break the connection of a client that takes no more. */
static void refuse_long_answer(struct exchange_memory *memory, struct bytes *reply)
{
    char text[160];
    snprintf(text, sizeof text,
             "the answer has %zu bytes, and answer_bytes_max is %llu: ask for less, or name more",
             reply->len + SP_ID_BYTES, (unsigned long long)memory->call.answer_bytes_max);
    const struct response refusal = {.status = HF_INVALID, .message = bytes_of(text)};
    encode_instead(memory, &refusal, reply);
}

static void send_answer(struct engine_call *call)
{
    struct exchange_memory *memory =
        (struct exchange_memory *)((char *)call - offsetof(struct exchange_memory, call));
    struct transport_exchange *exchange = memory->exchange;
    struct bytes reply;
    CHECK(exchange != NULL); /* one answer for each request */
    if (call->response.status == HF_BUSY) {
        uint32_t retry_ms = transport_retry_ms(exchange);
        call->response.retry_after_ms =
            retry_ms > call->response.retry_after_ms ? retry_ms : call->response.retry_after_ms;
    }
    if (codec_response_encode(&memory->arena, &call->response, &reply) != HF_OK) {
        reply = fixed_answer(memory);
    } else if (call->refuse_longer && reply.len + SP_ID_BYTES > call->answer_bytes_max) {
        refuse_long_answer(memory, &reply);
    }
    memory->exchange = NULL;
    USDT2(reply, call->response.lsn, call->response.status);
    struct engine *engine = call->engine;
    struct slowest_answer way =
        engine_answer_way(call, transport_exchange_body(exchange).len, reply.len);
    transport_reply(exchange, reply);
    engine_answered(engine, &way);
}

/* The request lets others in between. */
static void pause_request(struct engine_call *call)
{
    struct exchange_memory *memory =
        (struct exchange_memory *)((char *)call - offsetof(struct exchange_memory, call));
    transport_pause(memory->exchange);
}

static struct exchange_memory *begin_exchange(struct transport_exchange *exchange)
{
    struct exchange_memory *memory = transport_exchange_user(exchange);
    memory->arena.cap_bytes = DECODE_ARENA_BYTES_MAX;
    CHECK(memory->exchange == NULL);
    memory->exchange = exchange;
    uint64_t begun_ns = clock_monotonic_ns(clock_real());
    memory->call = (struct engine_call){
        .begun_ns = begun_ns,
        .received_ns = transport_exchange_received_ns(exchange),
        .arena = &memory->arena,
        .done = send_answer,
        .pause = pause_request,
    };
    return memory;
}

static void handle_request(void *context, struct transport_exchange *exchange)
{
    struct server *server = context;
    struct exchange_memory *memory = begin_exchange(exchange);
    struct request request;
    const char *error = "";
    enum hf_status status =
        codec_request_decode(&memory->arena, transport_exchange_body(exchange), &request, &error);
    /* However much the request took, there is room for its answer. */
    memory->arena.cap_bytes += ANSWER_ARENA_BYTES_MAX;
    if (status != HF_OK) {
        engine_refuse(server->engine, &memory->call, status, error);
        return;
    }
    engine_submit(server->engine, &memory->call, &request);
}

/* ---- Requests that wait ---- */

#define LIST_COST KIB(256) /* a list takes as long as a batch of so many bytes */
#define STOCKKEEPING_COST                                                                          \
    KIB(16) /* a longer definition is no order that an operator gives by hand */

/* An operator's words come first, then what is about orders in hand: they end work, and free units.
 */
static struct transport_kind classify_request(void *context, struct bytes bytes)
{
    (void)context;
    struct request_peek peek = request_peek(bytes);
    struct transport_kind kind = {.class = TRANSPORT_NEW, .timeout_ms = peek.timeout_ms};
    switch (peek.type) {
    case REQUEST_STATUS:
        kind.class = TRANSPORT_OPERATOR;
        break;
    case REQUEST_DEFINE: /* such as a pause of the sale */
        kind.class = bytes.len <= STOCKKEEPING_COST ? TRANSPORT_OPERATOR : TRANSPORT_NEW;
        break;
    case REQUEST_COMMIT:
    case REQUEST_RELEASE:
    case REQUEST_EXTEND:
    case REQUEST_RETURN:
    case REQUEST_COMMIT_BATCH:
    case REQUEST_RELEASE_BATCH:
    case REQUEST_GET_ORDER:
        kind.class = TRANSPORT_FINISH;
        break;
    case REQUEST_LIST_STOCK:
    case REQUEST_LIST_ORDERS:
        kind.extra_cost = LIST_COST;
        break;
    default:
        break;
    }
    return kind;
}

static const char *refusal_text(enum transport_refusal why)
{
    switch (why) {
    case TRANSPORT_REFUSE_CROWD:
        return "too many requests of this connection are in hand";
    case TRANSPORT_REFUSE_OVERLOAD:
        return "more requests come than the engine can answer in time";
    case TRANSPORT_REFUSE_LATE:
        break;
    }
    return "timeout_ms: it had passed before the request was started";
}

static size_t refuse_request(void *context, enum transport_refusal why, uint32_t retry_ms,
                             uint8_t reply[TRANSPORT_REFUSAL_BYTES_MAX])
{
    (void)context;
    return codec_refusal_encode(refusal_text(why), retry_ms, reply, TRANSPORT_REFUSAL_BYTES_MAX);
}

/* ---- Start ---- */

#define PROGRESS_NS 100000000u /* between two changes of the line */

struct progress_line {
    uint64_t begin_ns;
    uint64_t shown_ns;
    bool shown; /* the line is there, and not ended */
};

/* A line on the terminal, written over as recovery continues, and ended at its end.
 */
static void show_progress(void *context, uint64_t done_bytes, uint64_t total_bytes,
                          uint64_t records)
{
    struct progress_line *line = context;
    uint64_t now_ns = clock_monotonic_ns(clock_real());
    bool end = done_bytes >= total_bytes;
    if (total_bytes == 0 || !isatty(STDERR_FILENO) ||
        (!end && line->shown && now_ns - line->shown_ns < PROGRESS_NS) || (end && !line->shown)) {
        return;
    }
    double seconds = (double)(now_ns - line->begin_ns) * 1e-9;
    fprintf(stderr, "\rrecovering: %3u %%, %llu records, %.0f records/s%s",
            (unsigned)(done_bytes * 100 / total_bytes), (unsigned long long)records,
            seconds > 0 ? (double)records / seconds : 0, end ? "\n" : "");
    fflush(stderr);
    line->shown = !end;
    line->shown_ns = now_ns;
}

/* What the mode lets others do is for the operator to change: it may be meant. */
static void say_wide_mode(const char *directory)
{
    struct stat about;
    if (stat(directory, &about) == 0 &&
        (about.st_mode & 0777 & ~(mode_t)STORAGE_DIRECTORY_MODE) != 0) {
        diag_warn("%s: its mode %04o lets others in: chmod 0750 keeps them out", directory,
                  (unsigned)(about.st_mode & 0777));
    }
}

/* Reads which log the directory has. A file that can't be read is ignored, and written again.
 */
static void read_identity(struct server *server)
{
    enum hf_status status = identity_read(server->config->data, &server->cluster);
    server->cluster_known = status == HF_OK;
    if (status == HF_DAMAGED) {
        diag_warn("%s/" IDENTITY_NAME ": not a cluster's id: whatever log is there is taken",
                  server->config->data);
    }
}

/* The log is in a folder of its own: the data directory also has the lock and the socket. */
static bool start_storage(struct server *server)
{
    CHECK(server->lock < 0);
    CHECK(!server->storage);
    const char *data = server->config->data;
    bool fresh = access(data, F_OK) != 0;
    if (storage_make_directory(data) != HF_OK) {
        return false;
    }
    if (!fresh) {
        say_wide_mode(data);
    }
    server->lock_made = storage_lock_missing(data, &server->modified);
    enum hf_status status = storage_lock(data, &server->lock);
    if (status != HF_OK) {
        diag_error("%s: %s", data, storage_reason(status));
        return false;
    }
    read_identity(server);
    char folder[CONFIG_TEXT_BYTES + 8];
    snprintf(folder, sizeof folder, "%s/wal", data);
    if (server->cluster_known && access(folder, F_OK) != 0) {
        diag_error("%s can't be opened (%s), but " IDENTITY_NAME
                   " in %s shows that there was a log: "
                   "is its disk mounted? Without " IDENTITY_NAME " an engine begins a new log",
                   folder, strerror(errno), data);
        return false;
    }
    status = storage_open(&server->storage, folder, server->config->wal_io, false);
    if (status != HF_OK) {
        diag_error("%s can't be opened: %s", folder, storage_reason(status));
        return false;
    }
    return true;
}

static bool start_archive(struct server *server)
{
    CHECK(server->archive_lock < 0);
    CHECK(!server->archive);
    const char *folder = server->config->archive_dir;
    if (folder[0] == '\0') {
        return true;
    }
    server->archive_lock_made = storage_lock_missing(folder, &server->archive_modified);
    enum hf_status status = storage_lock(folder, &server->archive_lock);
    if (status == HF_OK) {
        status = storage_open(&server->archive, folder, STORAGE_SYNC, false);
    }
    if (status != HF_OK) {
        diag_error("archive-dir: %s can't be opened: %s", folder, storage_reason(status));
    }
    return status == HF_OK;
}

/* The log is this one from now on. */
static void note_identity(struct server *server)
{
    CHECK(server->engine_opened);
    struct id128 cluster = wal_cluster(engine_wal(server->engine));
    enum hf_status status =
        server->cluster_known ? HF_OK : identity_write(server->config->data, cluster);
    if (status != HF_OK) {
        diag_warn("%s/" IDENTITY_NAME
                  " can't be written (%s): an empty folder would be taken for a "
                  "new log",
                  server->config->data, storage_reason(status));
    }
    status = server->archive ? storage_settle(server->archive) : HF_OK;
    if (status != HF_OK) {
        diag_warn("archive-dir: leftovers can't be removed (%s)", storage_reason(status));
    }
}

/* The log's thread gives the answers of a whole group in a row: those of one connection leave
 * together. */
static void answers_begin(void *context)
{
    struct server *server = context;
    engine_answers_begin(server->engine);
    transport_gather_begin();
}

static void answers_end(void *context)
{
    struct server *server = context;
    transport_gather_end();
    engine_answers_end(server->engine);
}

static bool start_engine(struct server *server)
{
    CHECK(server->storage != NULL);
    CHECK(!server->engine);
    struct engine_options options = config_engine(server->config);
    uint64_t begin_ns = clock_monotonic_ns(clock_real());
    struct progress_line line = {.begin_ns = begin_ns};
    options.progress = show_progress;
    options.progress_context = &line;
    options.archive = server->archive;
    options.cluster = server->cluster_known ? &server->cluster : NULL;
    struct engine_recovery recovery;
    enum hf_status status =
        engine_open(&server->engine, &options, server->storage, clock_real(), &recovery);
    if (line.shown) {
        fputc('\n', stderr);
    }
    if (status != HF_OK) {
        diag_error("%s", recovery.message[0] ? recovery.message : storage_reason(status));
        if (status == HF_DAMAGED) {
            diag_error("Look at it with: holdfast wal verify --data %s", server->config->data);
        }
        return false;
    }
    server->engine_opened = true;
    note_identity(server);
    if (recovery.notice[0]) {
        diag_warn("%s", recovery.notice);
    }
    if (recovery.checkpoint) {
        diag_info("checkpoint %llu: %llu orders", (unsigned long long)recovery.checkpoint,
                  (unsigned long long)recovery.checkpoint_orders);
    }
    if (recovery.torn_bytes > 0) {
        diag_warn("the log's end was torn: %llu bytes that were never acknowledged were removed",
                  (unsigned long long)recovery.torn_bytes);
    }
    diag_info("recovered %llu records of %llu blocks up to LSN %llu in %llu ms; %llu digests agree",
              (unsigned long long)recovery.records, (unsigned long long)recovery.blocks,
              (unsigned long long)recovery.lsn,
              (unsigned long long)((clock_monotonic_ns(clock_real()) - begin_ns) / 1000000u),
              (unsigned long long)recovery.digests);
    wal_set_tell_hooks(engine_wal(server->engine), answers_begin, answers_end, server);
    status = engine_start(server->engine);
    if (status != HF_OK) {
        diag_error("threads can't be started: %s", hf_status_text(status));
        return false;
    }
    server->engine_started = true;
    return true;
}

static bool listen_on(struct server *server, const char *url)
{
    CHECK(server->transport != NULL);
    char actual[CONFIG_TEXT_BYTES + 64];
    enum hf_status status = transport_server_listen(server->transport, url, actual, sizeof actual);
    if (status != HF_OK) {
        char reason[PREFLIGHT_REASON_BYTES];
        bool fits = preflight_address(url, NULL, reason);
        diag_error("can't listen on %s: %s", url, fits ? hf_status_text(status) : reason);
        return false;
    }
    server->announce("listening", actual);
    return true;
}

/* Connections must not take the descriptors that the log needs for its next segment. */
static uint32_t connections_max(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 ||
        limit.rlim_cur >= SERVER_CONNECTIONS_MAX + SERVER_FILES_KEPT) {
        return SERVER_CONNECTIONS_MAX;
    }
    uint32_t files = (uint32_t)limit.rlim_cur;
    return files > 2 * SERVER_FILES_KEPT ? files - SERVER_FILES_KEPT : files / 2;
}

static bool start_transport(struct server *server)
{
    struct transport_server_options options = {
        .contexts = (unsigned)server->config->contexts,
        .message_bytes_max = MESSAGE_BYTES_MAX,
        .memory_bytes_max = SERVER_MEMORY_BYTES_MAX,
        .connections_max = connections_max(),
        .idle_ms_max = SERVER_IDLE_MS,
        .per_address = (uint32_t)server->config->connections_per_address,
        .send_timeout_ms = SERVER_SEND_TIMEOUT_MS,
        .user_bytes = sizeof(struct exchange_memory),
        .handle = handle_request,
        .refuse = refuse_request,
        .classify = classify_request,
        .queue_target_ns = server->config->queue_target_ms * 1000000u,
        .queue_interval_ns = server->config->queue_interval_ms * 1000000u,
        .replied = memory_clear,
        .user_init = memory_init,
        .user_deinit = memory_deinit,
        .context = server,
    };
    enum hf_status status = transport_server_open(&server->transport, &options);
    if (status != HF_OK) {
        diag_error("the transport can't be opened: %s", hf_status_text(status));
        return false;
    }
    struct config_addresses all;
    config_addresses(server->config, &all);
    for (unsigned i = 0; i < all.listen_count; i++) {
        if (!listen_on(server, all.urls[i])) {
            return false;
        }
    }
    return true;
}

/* ---- End ---- */

static void exit_at_once(int number)
{
    (void)number;
    _exit(EXIT_SECOND_SIGNAL);
}

static void release_lock(const char *directory, int lock, bool remove, struct timespec modified)
{
    if (remove) {
        storage_unlock_unused(directory, lock, modified);
    } else {
        storage_unlock(lock);
    }
}

/* A start that was refused leaves nothing that was not there. */
static void release_locks(const struct server *server)
{
    const struct config *config = server->config;
    bool refused = !server->engine_opened;
    release_lock(config->archive_dir, server->archive_lock, refused && server->archive_lock_made,
                 server->archive_modified);
    release_lock(config->data, server->lock, refused && server->lock_made, server->modified);
}

/* False: the log failed, now or before. */
static bool stop_server(struct server *server, uint32_t drain_ms)
{
    CHECK(!server->engine_started || server->engine_opened);
    bool log_fine = true;
    if (server->transport) {
        transport_server_drain(server->transport, drain_ms);
    }
    if (server->engine_started) {
        engine_stop(server->engine);
        log_fine = !engine_failed(server->engine);
    }
    if (server->transport) {
        transport_server_close(server->transport);
    }
    engine_close(server->engine);
    if (server->storage) {
        storage_destroy(server->storage);
    }
    if (server->archive) {
        storage_destroy(server->archive);
    }
    release_locks(server);
    return log_fine;
}

/* Waits for a signal to stop, or until the log has failed. */
static int watch(struct server *server, const sigset_t *signals)
{
    CHECK(server->engine_started);
    sigset_t waited = *signals;
    sigaddset(&waited, SIGHUP);
    for (;;) {
        int number = sigtimedwait(&waited, NULL, &(struct timespec){.tv_nsec = WATCH_NS});
        if (engine_failed(server->engine)) {
            diag_error("a write to the log failed: the engine stops; what was acknowledged is "
                       "durable, nothing more will be acknowledged");
            return SERVER_LOG_FAILED;
        }
        if (number == SIGHUP) {
            diag_info("SIGHUP changes nothing: settings are read at the start alone");
        }
        if (number == SIGTERM || number == SIGINT) {
            diag_info("stopping: answering the requests in hand; a second signal exits at once");
            return SERVER_DONE;
        }
    }
}

/* A connection takes a descriptor, and the usual soft limit is 1024: takes what the hard limit
 * allows. */
static void raise_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* SIGHUP stays blocked to the end, and watch() takes it. */
void server_guard_process(void)
{
    sigset_t hangup;
    sigemptyset(&hangup);
    sigaddset(&hangup, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &hangup, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    umask(umask(077) | 007);
}

int server_run(const struct config *config, server_announce announce)
{
    raise_file_limit();
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);

    struct server server = {.config = config, .announce = announce, .lock = -1, .archive_lock = -1};
    if (!start_storage(&server) || !start_archive(&server) || !start_engine(&server) ||
        !start_transport(&server)) {
        stop_server(&server, 0);
        return SERVER_REFUSED;
    }
    announce("ready", NULL);
    if (fflush(stdout) != 0) {
        diag_warn("the addresses and \"ready\" can't be printed: %s", strerror(errno));
        __fpurge(stdout); /* reported; no reason to stop, nor for another exit status at the end */
        clearerr(stdout);
    }
    int result = watch(&server, &signals);
    signal(SIGTERM, exit_at_once);
    signal(SIGINT, exit_at_once);
    pthread_sigmask(SIG_UNBLOCK, &signals, NULL);
    if (!stop_server(&server, result == SERVER_DONE ? DRAIN_MS : FAILED_DRAIN_MS)) {
        result = SERVER_LOG_FAILED; /* perhaps in its last write */
    }
    diag_info(result == SERVER_DONE ? "stopped" : "stopped after the failure");
    return result;
}
