/* shop.c - see the header.
 *
 * Threads: see the header. */
#include "crash/shop.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "lib/kernel.h"
#include "lib/tempdir.h"

#define WAIT_FAILED_S   100
#define WAIT_S          300 /* only what hangs takes so long */
#define FILL_SKUS       120u
#define FILLS_MAX       1000u /* some 8 segments: the mark follows within milliseconds */
#define LABEL_BYTES     250u
#define UNITS           1000
#define SCARCE_UNITS    30
#define ARGUMENTS_MAX   64
#define FAILING_ORDERS  120u /* of a life whose log fails */
#define WORK_ORDERS_MAX (SHOP_ORDERS_MAX - 2 * FAILING_ORDERS)

const char *const shop_settings[] = {"wal-segment-bytes",
                                     "4M",
                                     "wal-bytes-max",
                                     "16M",
                                     "retain-ended",
                                     "600ms",
                                     "orders-max",
                                     "20000",
                                     "orders-ready",
                                     "0",
                                     "items-max",
                                     "1000",
                                     "wal-spare-segments",
                                     "1",
                                     "recovery-threads",
                                     "1",
                                     NULL};

static uint64_t present_seed;

/* An engine is at work and not meant to end: a call to it would wait for long. */
static volatile sig_atomic_t alive;

static void child_ended(int number)
{
    (void)number;
    if (alive) {
        static const char said[] = "an engine ended by itself\n";
        char text[64] = "SEED=";
        size_t len = 5;
        char digits[24];
        size_t count = 0;
        for (uint64_t rest = present_seed; count == 0 || rest > 0; rest /= 10) {
            digits[count++] = (char)('0' + rest % 10);
        }
        while (count > 0) {
            text[len++] = digits[--count];
        }
        text[len++] = ':';
        text[len++] = ' ';
        memcpy(text + len, said, sizeof said - 1);
        len += sizeof said - 1;
        (void)!write(STDERR_FILENO, text, len);
        _exit(1);
    }
}

static void __attribute__((noreturn, format(printf, 1, 2))) die(const char *format, ...)
{
    va_list arguments;
    alive = 0;
    va_start(arguments, format);
    fprintf(stderr, "SEED=%llu: ", (unsigned long long)present_seed);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(1);
}

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void pause_ms(long ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

/* Records so far: what lies before has happened. */
static uint64_t place(const struct shop *shop)
{
    return atomic_load_explicit(&shop->trace->count, memory_order_acquire);
}

/* ---- The engine ---- */

struct life {
    const char *io;    /* "uring" or "sync" */
    const char *kill;  /* for TRACE_KILL; NULL: none */
    const char *early; /* for TRACE_EARLY */
    const char *fail;  /* for TRACE_FAIL */
    uint64_t seed;     /* of its troubles; 0: none */
    bool no_archive;   /* whose sync would be one of the data directory's parent, too */
};

static const char *binary_path;

static void exec_engine(const struct shop *shop, const struct life *life, int out)
{
    char data[512];
    char archive[512];
    char url[512];
    char text[32];
    const char *arguments[ARGUMENTS_MAX];
    char names[16][64];
    unsigned n = 0;
    snprintf(data, sizeof data, "%s/data", shop->root);
    snprintf(archive, sizeof archive, "%s/archive", shop->root);
    snprintf(url, sizeof url, "ipc://%s/s", shop->folder);
    arguments[n++] = binary_path;
    arguments[n++] = "serve";
    arguments[n++] = "--data";
    arguments[n++] = data;
    if (!life->no_archive) {
        arguments[n++] = "--archive-dir";
        arguments[n++] = archive;
    }
    arguments[n++] = "--listen";
    arguments[n++] = url;
    arguments[n++] = "--wal-io";
    arguments[n++] = life->io;
    for (unsigned i = 0; shop_settings[i]; i += 2) {
        CHECK(i / 2 < 16);
        snprintf(names[i / 2], sizeof names[0], "--%s", shop_settings[i]);
        arguments[n++] = names[i / 2];
        arguments[n++] = shop_settings[i + 1];
    }
    arguments[n] = NULL;
    CHECK(n < ARGUMENTS_MAX);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    char *path = tempdir_join(shop->folder, "stderr.txt");
    int errors = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    dup2(out, STDOUT_FILENO);
    dup2(errors, STDERR_FILENO);
    /* The path must have no space in it. */
    CHECK(chdir(shop->folder) == 0);
    setenv("LD_PRELOAD", "./recorder.so", 1);
    path = tempdir_join(shop->folder, "trace");
    setenv(TRACE_FILE, path, 1);
    setenv(TRACE_ROOT, shop->root, 1);
    if (life->seed) {
        snprintf(text, sizeof text, "%lu", life->seed);
        setenv(TRACE_SEED, text, 1);
    }
    if (life->kill) {
        setenv(TRACE_KILL, life->kill, 1);
    }
    if (life->early) {
        setenv(TRACE_EARLY, life->early, 1);
    }
    if (life->fail) {
        setenv(TRACE_FAIL, life->fail, 1);
    }
    execv(binary_path, (char *const *)arguments);
    _exit(127);
}

static void follow(struct shop *shop)
{
    while (disk_step(shop->live)) {
    }
    if (atomic_load_explicit(&shop->trace->full, memory_order_relaxed)) {
        die("the trace is full");
    }
}

/* Starts an engine. False: it ended before it was ready, as it may when it is to be killed. */
static bool start(struct shop *shop, const struct life *life)
{
    int ends[2];
    CHECK(pipe2(ends, O_CLOEXEC) == 0);
    CHECK(shop->lives < SHOP_LIVES_MAX);
    shop->started[shop->lives++] = place(shop);
    fflush(stdout);
    shop->engine = fork();
    CHECK(shop->engine >= 0);
    if (shop->engine == 0) {
        exec_engine(shop, life, ends[1]);
    }
    close(ends[1]);
    shop->out = ends[0];
    char said[512];
    size_t used = 0;
    ssize_t got = 1;
    while (got > 0 && used + 1 < sizeof said) {
        got = read(shop->out, said + used, sizeof said - 1 - used);
        used += got > 0 ? (size_t)got : 0;
        said[used] = '\0';
        if (strstr(said, "ready\n")) {
            shop->ready = shop->ready ? shop->ready : place(shop);
            return true;
        }
    }
    return false;
}

/* ---- What a dead engine left ---- */

static void append_left(struct shop *shop, const struct trace_record *call, int64_t result,
                        const uint8_t *data, uint64_t len)
{
    struct trace_head *head = shop->trace;
    uint64_t at = atomic_load_explicit(&head->bytes, memory_order_relaxed);
    uint32_t bytes = trace_bytes((uint64_t)call->name_bytes + call->to_bytes, len);
    if (TRACE_HEAD_BYTES + at + bytes > TRACE_BYTES_MAX) {
        die("the trace is full");
    }
    struct trace_record *entry = (struct trace_record *)((char *)head + TRACE_HEAD_BYTES + at);
    *entry = *call;
    entry->bytes = bytes;
    entry->kind = TRACE_LEFT;
    entry->created = call->op == KERNEL_OPEN;
    entry->data_bytes = (uint32_t)len;
    entry->len = call->op == KERNEL_WRITE ? len : call->len;
    entry->result = result;
    memcpy((char *)trace_name(entry), trace_name(call), (size_t)call->name_bytes + call->to_bytes);
    if (len > 0) {
        memcpy((uint8_t *)trace_data(entry), data, len);
    }
    atomic_store_explicit(&head->bytes, at + bytes, memory_order_release);
    atomic_fetch_add_explicit(&head->count, 1, memory_order_release);
}

static bool is_there(const struct shop *shop, const char *name)
{
    char *path = tempdir_join(shop->root, name);
    bool there = access(path, F_OK) == 0;
    free(path);
    return there;
}

/* A write that was under way: what is there of it now is what the next engine reads. */
static void left_write(struct shop *shop, const struct trace_record *call)
{
    char *path = tempdir_join(shop->root, trace_name(call));
    uint8_t *data = malloc(call->len);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    ssize_t got = -1;
    if (fd >= 0) {
        /* Waits for direct writes that still are on their way, as the engine does. */
        (void)!fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 4096);
        got = pread(fd, data, call->len, (off_t)call->offset);
        close(fd);
    }
    append_left(shop, call, got > 0 ? 0 : -1, data, got > 0 ? (uint64_t)got : 0);
    free(data);
    free(path);
}

/* What the engine says must be no error, but where one was made. */
static void check_said(struct shop *shop)
{
    char *path = tempdir_join(shop->folder, "stderr.txt");
    char line[1024];
    FILE *file = fopen(path, "r");
    if (file && fseek(file, shop->said, SEEK_SET) == 0) {
        while (fgets(line, sizeof line, file)) {
            line[strcspn(line, "\n")] = '\0';
            if (strstr(line, "Z ERROR ")) {
                kill(shop->engine, SIGKILL);
                die("the engine says: %s", line);
            }
        }
        shop->said = ftell(file);
    }
    if (file) {
        fclose(file);
    }
    free(path);
}

static void tell_left(struct shop *shop)
{
    const struct trace_record *calls[64];
    follow(shop);
    unsigned count = disk_unfinished(shop->live, calls, 64);
    for (unsigned i = 0; i < count; i++) {
        const struct trace_record *call = calls[i];
        const char *name = trace_name(call);
        switch ((enum kernel_op)call->op) {
        case KERNEL_WRITE:
            left_write(shop, call);
            break;
        case KERNEL_RENAME:
            append_left(shop, call, is_there(shop, name) ? -1 : 0, NULL, 0);
            break;
        case KERNEL_UNLINK:
            append_left(shop, call, is_there(shop, name) ? -1 : 0, NULL, 0);
            break;
        case KERNEL_MKDIR:
        case KERNEL_OPEN:
            append_left(shop, call,
                        is_there(shop, name) && !disk_has(shop->live, name) &&
                                !call->is_directory && name[0] != '.'
                            ? 0
                            : -1,
                        NULL, 0);
            break;
        default:
            append_left(shop, call, -1, NULL, 0);
        }
    }
    follow(shop);
    if (disk_fault(shop->live)) {
        die("a rule was broken: %s", disk_fault(shop->live));
    }
}

/* Waits for its end. Its status, as waitpid has it. */
static int wait_end(struct shop *shop)
{
    int status = 0;
    CHECK(waitpid(shop->engine, &status, 0) == shop->engine);
    shop->engine = 0;
    if (shop->client) { /* what was not answered ends now */
        hf_client_close(shop->client);
        shop->client = NULL;
    }
    close(shop->out);
    tell_left(shop);
    return status;
}

static void kill_engine(struct shop *shop)
{
    alive = 0;
    kill(shop->engine, SIGKILL);
    wait_end(shop);
}

static void connect_client(struct shop *shop)
{
    char url[512];
    snprintf(url, sizeof url, "ipc://%s/s", shop->folder);
    const struct hf_options options = {.timeout_ms = WAIT_S * 1000, .total_timeout_ms = 0};
    if (hf_client_open(&shop->client, url, &options) != HF_OK) {
        die("the client can't be opened: %s", hf_last_message());
    }
}

static void check_ready(struct shop *shop, bool ready)
{
    if (!ready) {
        kill_engine(shop);
        die("the engine does not start, though nothing was lost; see %s/stderr.txt", shop->folder);
    }
    alive = 1;
    connect_client(shop);
}

/* ---- Orders ---- */

static bool is_unknown(enum hf_status status)
{
    return status == HF_TIMED_OUT || status == HF_UNREACHABLE || status == HF_CANCELED ||
           status == HF_INTERNAL || status == HF_BUSY || status == HF_READ_ONLY;
}

/* The answer to an order's last version. The mutex is held. */
static void answered(struct shop *shop, struct shop_order *order, enum hf_status status)
{
    struct shop_version *version = &order->versions[order->count - 1];
    order->under_way = false;
    if (is_unknown(status)) {
        return; /* it is asked again */
    }
    if (status == HF_NOT_FOUND && version->operation == SHOP_RETURN) {
        order->forgotten = true; /* before that was done, or behind it: nobody knows */
        return;
    }
    version->answered = place(shop);
    if (status == HF_SOLD_OUT && version->operation == SHOP_RESERVE) {
        version->state = HF_ORDER_NONE;
        memset(version->qty, 0, sizeof version->qty);
    } else if (status != HF_OK && !(status == HF_NOT_FOUND && version->operation != SHOP_RESERVE)) {
        /* NOT_FOUND: what was done before the engine died was forgotten since */
        die("an order's operation %d came to %s", (int)version->operation, hf_status_text(status));
    }
}

struct asked {
    struct shop *shop;
    struct shop_order *order;
};

static void done(void *user, enum hf_status status, const struct hf_result *result)
{
    struct asked *asked = user;
    (void)result;
    pthread_mutex_lock(&asked->shop->mutex);
    answered(asked->shop, asked->order, status);
    asked->shop->in_flight--;
    pthread_mutex_unlock(&asked->shop->mutex);
    free(asked);
}

static void wait_below(struct shop *shop, unsigned most)
{
    for (;;) {
        pthread_mutex_lock(&shop->mutex);
        unsigned in_flight = shop->in_flight;
        pthread_mutex_unlock(&shop->mutex);
        if (in_flight < most) {
            return;
        }
        nanosleep(&(struct timespec){.tv_nsec = 50000}, NULL);
    }
}

/* Asks for an order's last version. */
static void ask(struct shop *shop, struct shop_order *order, bool wait)
{
    struct shop_version *version = &order->versions[order->count - 1];
    struct hf_line lines[SHOP_LINES_MAX] = {{0}};
    struct hf_line_qty parts[SHOP_LINES_MAX];
    for (uint32_t i = 0; i < order->lines; i++) {
        lines[i] = (struct hf_line){.item = order->item[i], .qty = order->versions[0].qty[i]};
        parts[i] = (struct hf_line_qty){i + 1, 1};
    }
    const struct hf_order asked = {.id = order->id,
                                   .buyer = 7,
                                   .hold_ms = order->brief ? 30 : 600000,
                                   .line_count = order->lines,
                                   .lines = lines};
    struct asked *user = malloc(sizeof *user);
    *user = (struct asked){shop, order};
    pthread_mutex_lock(&shop->mutex);
    shop->in_flight++;
    order->under_way = true;
    pthread_mutex_unlock(&shop->mutex);
    enum hf_status status = HF_OK;
    switch (version->operation) {
    case SHOP_RESERVE:
        status = hf_reserve_async(shop->client, &asked, done, user);
        break;
    case SHOP_COMMIT:
        status = hf_commit_async(shop->client, order->id, done, user);
        break;
    case SHOP_RELEASE:
        status = hf_release_async(shop->client, order->id, done, user);
        break;
    case SHOP_COMMIT_LINES:
        done(user, hf_commit_lines(shop->client, order->id, parts, order->lines, NULL), NULL);
        return;
    case SHOP_RETURN:
        done(user, hf_return_lines(shop->client, order->id, NULL, 0, NULL), NULL);
        return;
    }
    if (status != HF_OK) { /* done will not be called */
        done(user, status, NULL);
    }
    if (wait) {
        wait_below(shop, 1);
    }
}

static struct shop_version *add_version(struct shop *shop, struct shop_order *order,
                                        enum shop_operation operation, enum hf_order_state state)
{
    struct shop_version *version = &order->versions[order->count++];
    *version = (struct shop_version){.operation = operation,
                                     .state = state,
                                     .asked = place(shop),
                                     .asked_ns = now_ns(),
                                     .answered = SHOP_NEVER};
    return version;
}

static void new_order(struct shop *shop, bool wait)
{
    CHECK(shop->order_count < SHOP_ORDERS_MAX);
    struct shop_order *order = &shop->orders[shop->order_count++];
    *order = (struct shop_order){.lines = 1 + (uint32_t)rng_below(&shop->rng, 2)};
    order->brief = rng_chance(&shop->rng, 6);
    uint64_t id[2] = {rng_next(&shop->rng), rng_next(&shop->rng)};
    memcpy(order->id.bytes, id, sizeof id);
    order->item[0] = 1 + (uint32_t)rng_below(&shop->rng, SHOP_ITEMS);
    order->item[1] = order->item[0] % SHOP_ITEMS + 1;
    struct shop_version *version = add_version(shop, order, SHOP_RESERVE, HF_ORDER_HELD);
    for (uint32_t i = 0; i < order->lines; i++) {
        version->qty[i] = 1 + (uint32_t)rng_below(&shop->rng, 3);
    }
    ask(shop, order, wait);
}

/* An order that was answered, and is not at its end. */
static void next_version(struct shop *shop, struct shop_order *order, bool wait)
{
    const struct shop_version last = order->versions[order->count - 1];
    pthread_mutex_lock(&shop->mutex);
    bool idle = !order->under_way;
    pthread_mutex_unlock(&shop->mutex);
    if (!idle || last.answered == SHOP_NEVER || order->brief || order->forgotten) {
        return;
    }
    struct shop_version *version;
    if (last.state == HF_ORDER_COMMITTED && rng_chance(&shop->rng, 4)) {
        add_version(shop, order, SHOP_RETURN, HF_ORDER_RETURNED);
    } else if (last.state != HF_ORDER_HELD) {
        return;
    } else if (rng_chance(&shop->rng, 8)) { /* the same again changes nothing */
        struct hf_line lines[SHOP_LINES_MAX] = {{0}};
        for (uint32_t i = 0; i < order->lines; i++) {
            lines[i] = (struct hf_line){.item = order->item[i], .qty = last.qty[i]};
        }
        const struct hf_order again = {.id = order->id,
                                       .buyer = 7,
                                       .hold_ms = 600000,
                                       .line_count = order->lines,
                                       .lines = lines};
        struct hf_result result;
        if (hf_reserve(shop->client, &again, &result) != HF_OK || !result.replayed) {
            die("an order that was repeated is not taken for what it is");
        }
        return;
    } else if (rng_chance(&shop->rng, 3)) {
        add_version(shop, order, SHOP_RELEASE, HF_ORDER_RELEASED);
    } else {
        bool parts = rng_chance(&shop->rng, 3);
        version =
            add_version(shop, order, parts ? SHOP_COMMIT_LINES : SHOP_COMMIT, HF_ORDER_COMMITTED);
        for (uint32_t i = 0; i < order->lines; i++) {
            version->qty[i] = parts ? 1 : last.qty[i];
        }
    }
    ask(shop, order, wait);
}

/* ---- Stock ---- */

static void ask_adjust(struct shop *shop, struct shop_adjust *adjust)
{
    struct hf_adjust_result result = {0};
    const struct hf_adjustment asked = {.id = adjust->id,
                                        .item = adjust->item,
                                        .value = adjust->delta,
                                        .to_item = adjust->to_item,
                                        .reason = "count"};
    enum hf_status status = hf_adjust(shop->client, &asked, 1, &result);
    status = status == HF_OK ? result.status : status;
    if (is_unknown(status)) {
        return;
    }
    if (status != HF_OK) {
        die("an adjustment came to %s: %s", hf_status_text(status), hf_last_message());
    }
    adjust->answered = place(shop);
}

static void add_adjust(struct shop *shop, uint32_t item, uint32_t to_item, int64_t delta)
{
    if (shop->adjust_count == SHOP_ADJUSTS_MAX ||
        (shop->adjust_count > 0 && shop->adjusts[shop->adjust_count - 1].answered == SHOP_NEVER)) {
        return;
    }
    struct shop_adjust *adjust = &shop->adjusts[shop->adjust_count++];
    *adjust = (struct shop_adjust){.item = item,
                                   .to_item = to_item,
                                   .delta = delta,
                                   .asked = place(shop),
                                   .answered = SHOP_NEVER};
    uint64_t id[2] = {rng_next(&shop->rng), rng_next(&shop->rng)};
    memcpy(adjust->id.bytes, id, sizeof id);
    ask_adjust(shop, adjust);
}

/* Items 1 and 2 are pools of one SKU; 4 is scarce. */
static void define(struct shop *shop)
{
    const struct hf_item items[SHOP_ITEMS] = {
        {.sku = "phone"}, {.sku = "phone", .pool = "store"}, {.sku = "case"}, {.sku = "gift"}};
    uint32_t handles[SHOP_ITEMS];
    shop->define_asked = shop->define_asked ? shop->define_asked : place(shop);
    enum hf_status status = hf_define(shop->client, NULL, 0, items, SHOP_ITEMS, handles);
    if (status != HF_OK) {
        die("items can't be defined: %s", hf_last_message());
    }
    shop->define_answered = place(shop);
    for (uint32_t i = 0; i < SHOP_ITEMS; i++) {
        CHECK(handles[i] == i + 1);
        add_adjust(shop, i + 1, 0, i + 1 == SHOP_ITEMS ? SCARCE_UNITS : UNITS);
    }
}

/* ---- The log ---- */

/* Some 35 KiB of log: rules whose labels change. */
static enum hf_status fill(struct shop *shop)
{
    static char names[FILL_SKUS][16];
    static char labels[FILL_SKUS][LABEL_BYTES + 1];
    struct hf_sku skus[FILL_SKUS];
    shop->fills++;
    for (unsigned i = 0; i < FILL_SKUS; i++) {
        snprintf(names[i], sizeof names[i], "fill-%u", i);
        memset(labels[i], 'a' + (int)rng_below(&shop->rng, 26), LABEL_BYTES);
        snprintf(labels[i], sizeof labels[i], "%010u", shop->fills);
        labels[i][10] = '-';
        skus[i] = (struct hf_sku){.sku = names[i], .label = labels[i], .fields = HF_SKU_LABEL};
    }
    return hf_define(shop->client, skus, FILL_SKUS, NULL, 0, NULL);
}

static bool has_ended(const struct shop *shop)
{
    siginfo_t info = {0};
    waitid(P_PID, (id_t)shop->engine, &info, WEXITED | WNOHANG | WNOWAIT);
    return info.si_pid == shop->engine;
}

/* Names' forms; has() and wait_for() fill in the number. */
#define MARK       "data/wal/begun-%016x.mark"
#define CHECKPOINT "data/wal/checkpoint-%016x.ckp"
#define SEGMENT    "data/wal/wal-%016x.seg"
#define ARCHIVED   "archive/wal-%016x.seg"

static bool has_number(struct shop *shop, const char *form, unsigned number)
{
    char name[DISK_PATH_BYTES];
    snprintf(name, sizeof name, form, number);
    return disk_has(shop->live, name);
}

/* Segments that there were: the log gives one back once the archive has it. */
static void check_given_back(struct shop *shop, unsigned upto)
{
    for (unsigned i = 1; i <= upto; i++) {
        if (!has_number(shop, SEGMENT, i) && !has_number(shop, ARCHIVED, i)) {
            kill(shop->engine, SIGKILL);
            die("segment %u was given back and is not in the archive", i);
        }
    }
}

/* Whether a file of that kind is there, of this number or one of the next: some are passed over. */
static bool has(struct shop *shop, const char *form, unsigned number)
{
    follow(shop);
    for (unsigned i = number; i < number + 16; i++) {
        if (has_number(shop, form, i)) {
            return true;
        }
    }
    return false;
}

static void wait_for(struct shop *shop, const char *form, unsigned number)
{
    uint64_t begin = now_ns();
    while (!has(shop, form, number)) {
        if (has_ended(shop)) {
            die("the engine ended while it was waited for file %u of %s", number, form);
        }
        if (now_ns() - begin > WAIT_S * 1000000000ull) {
            die("file %u of %s does not come", number, form);
        }
        check_said(shop);
        check_given_back(shop, number);
        pause_ms(2);
    }
}

static void some_work(struct shop *shop, unsigned steps)
{
    for (unsigned i = 0; i < steps; i++) {
        bool wait = rng_chance(&shop->rng, 4);
        uint64_t dice = rng_below(&shop->rng, 12);
        wait_below(shop, 8);
        if (dice < 5 && shop->order_count < WORK_ORDERS_MAX) {
            new_order(shop, wait);
        } else if (dice < 11 && shop->order_count > 0) {
            next_version(shop, &shop->orders[rng_below(&shop->rng, shop->order_count)], wait);
        } else if (rng_chance(&shop->rng, 2)) {
            add_adjust(shop, 1 + (uint32_t)rng_below(&shop->rng, 3), 0, 5);
        } else {
            add_adjust(shop, 1, 2, 2);
        }
    }
}

/* Work, until the segment is in use. */
static void work_until(struct shop *shop, unsigned segment)
{
    for (unsigned fills = 0; !has(shop, MARK, segment); fills++) {
        if (fills == FILLS_MAX) {
            die("so much was written, and no mark says that segment %u was begun", segment);
        }
        if (fill(shop) != HF_OK) {
            die("rules can't be changed: %s", hf_last_message());
        }
        if (rng_chance(&shop->rng, 6)) {
            some_work(shop, 4);
        }
    }
}

/* What was not answered in the life before. */
static void ask_again(struct shop *shop)
{
    if (shop->adjust_count > 0 && shop->adjusts[shop->adjust_count - 1].answered == SHOP_NEVER) {
        ask_adjust(shop, &shop->adjusts[shop->adjust_count - 1]);
    }
    for (unsigned i = 0; i < shop->order_count; i++) {
        struct shop_order *order = &shop->orders[i];
        if (order->versions[order->count - 1].answered == SHOP_NEVER && !order->forgotten) {
            wait_below(shop, 8);
            ask(shop, order, false);
        }
    }
    wait_below(shop, 1);
}

/* ---- Lives ---- */

/* An engine that is killed while it starts: what it did to names is in the cache alone, or the
 * place is one of its first directory syncs, whichever the dice say. */
static void short_life(struct shop *shop, const char *io, const char *behind)
{
    char text[32];
    snprintf(text, sizeof text, "fsync %u", 1 + (unsigned)rng_below(&shop->rng, 8));
    (void)start(shop, &(struct life){.io = io,
                                     .kill = behind,
                                     .early = behind ? NULL : text,
                                     .no_archive = behind != NULL});
    kill_engine(shop);
}

/* An engine that works, whose log grows by so many segments, and that is killed at work. */
static void long_life(struct shop *shop, const char *io, unsigned from, unsigned upto)
{
    check_ready(shop, start(shop, &(struct life){.io = io, .seed = 1 + rng_next(&shop->rng) / 2}));
    if (shop->define_answered == SHOP_NEVER) {
        define(shop);
    }
    ask_again(shop);
    some_work(shop, 60);
    for (unsigned segment = from; segment < upto; segment++) {
        work_until(shop, segment + 1);
        some_work(shop, 20);
        wait_for(shop, CHECKPOINT, segment);
        if (segment > 1) {
            wait_for(shop, ARCHIVED, segment - 1);
        }
    }
    some_work(shop, 60);
    check_said(shop);
}

/* What was asked for after a write had failed must not be answered as if it were done. */
static void check_refused(struct shop *shop)
{
    follow(shop);
    uint64_t failed = disk_write_failed(shop->live);
    pthread_mutex_lock(&shop->mutex);
    for (unsigned i = 0; failed != 0 && i < shop->order_count; i++) {
        const struct shop_version *first = &shop->orders[i].versions[0];
        if (first->asked > failed && first->answered != SHOP_NEVER) {
            kill(shop->engine, SIGKILL);
            die("a write to the log failed, and the engine goes on to answer");
        }
    }
    pthread_mutex_unlock(&shop->mutex);
}

/* So that each order makes a write of its own. */
static void wait_answer_or_failure(struct shop *shop)
{
    for (bool waits = true; waits;) {
        follow(shop);
        pthread_mutex_lock(&shop->mutex);
        waits = shop->in_flight > 0 && disk_write_failed(shop->live) == 0;
        pthread_mutex_unlock(&shop->mutex);
        waits &= !has_ended(shop);
        nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
    }
}

/* It has noticed that a write failed, or has more to write than that. */
static void wait_failed(struct shop *shop)
{
    uint64_t begin = now_ns();
    while (!has_ended(shop)) {
        if (now_ns() - begin > WAIT_FAILED_S * 1000000000ull) {
            kill(shop->engine, SIGKILL);
            die("a write to the log failed, and the engine goes on");
        }
        pause_ms(2);
    }
}

/* A write to the log fails: the engine ends, and says nothing that is not so. */
static void failing_life(struct shop *shop, const char *io)
{
    char text[32];
    snprintf(text, sizeof text, "%u", 60 + (unsigned)rng_below(&shop->rng, 20));
    check_ready(shop, start(shop, &(struct life){.io = io, .fail = text}));
    ask_again(shop);
    alive = 0;
    for (unsigned i = 0; i < FAILING_ORDERS && !has_ended(shop); i++) {
        new_order(shop, false);
        wait_answer_or_failure(shop);
        pause_ms(1);
        check_refused(shop);
    }
    wait_failed(shop);
    int status = wait_end(shop);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 4) {
        die("a write failed, and the engine ended with status %x instead of exit 4", status);
    }
}

static void make_trace(struct shop *shop)
{
    char *path = tempdir_join(shop->folder, "trace");
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    CHECK(fd >= 0);
    CHECK(ftruncate(fd, TRACE_BYTES_MAX) == 0);
    shop->trace = mmap(NULL, TRACE_BYTES_MAX, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(shop->trace != MAP_FAILED);
    close(fd);
    free(path);
}

/* Since Linux 6.1 completions come when the program asks for them, and the recorder is told.
 * Before, they come at any time, and the program may see one that was not recorded yet. */
static bool tells_completions(void)
{
    struct utsname name;
    unsigned major = 0;
    unsigned minor = 0;
    return uname(&name) == 0 && sscanf(name.release, "%u.%u", &major, &minor) == 2 &&
           (major > 6 || (major == 6 && minor >= 1));
}

static void link_recorder(const struct shop *shop, const char *recorder)
{
    char *from = realpath(recorder, NULL);
    char *to = tempdir_join(shop->folder, "recorder.so");
    CHECK(from != NULL);
    CHECK(symlink(from, to) == 0);
    free(from);
    free(to);
}

void shop_run(struct shop *shop, uint64_t seed, const char *binary, const char *recorder)
{
    memset(shop, 0, sizeof *shop);
    binary_path = realpath(binary, NULL);
    CHECK(binary_path != NULL);
    present_seed = seed;
    signal(SIGCHLD, child_ended);
    rng_init(&shop->rng, seed);
    pthread_mutex_init(&shop->mutex, NULL);
    shop->folder = tempdir_make();
    shop->root = tempdir_join(shop->folder, "disk");
    CHECK(mkdir(shop->root, 0700) == 0);
    link_recorder(shop, recorder);
    shop->define_answered = SHOP_NEVER;
    make_trace(shop);
    shop->live = disk_make(shop->trace);
    const char *ways[2] = {"sync", tells_completions() ? "auto" : "sync"};
    unsigned first = (unsigned)rng_below(&shop->rng, 2);
    short_life(shop, ways[first], "mkdir 1");  /* the data directory */
    short_life(shop, ways[first], "rename 1"); /* the first segment, which holds nothing */
    short_life(shop, ways[first], "rename 3"); /* anew, its mark, and the second segment */
    long_life(shop, ways[1], 1, 3);
    kill_engine(shop);
    short_life(shop, ways[first], NULL);
    long_life(shop, ways[0], 3, 4);
    kill_engine(shop);
    failing_life(shop, ways[0]);
    shop->said = LONG_MAX; /* there it did */
    failing_life(shop, ways[1]);
    check_ready(shop, start(shop, &(struct life){.io = ways[1]}));
    ask_again(shop);
    some_work(shop, 10);
    wait_below(shop, 1);
    alive = 0;
    kill(shop->engine, SIGTERM);
    int status = wait_end(shop);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        die("the engine was told to stop and ended with status %x", status);
    }
}

void shop_free(struct shop *shop, bool keep_files)
{
    disk_free(shop->live);
    munmap(shop->trace, TRACE_BYTES_MAX);
    free(shop->root);
    if (!keep_files) {
        tempdir_remove(shop->folder);
    }
}
