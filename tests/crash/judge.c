/* judge.c - see the header. The log's folder becomes a simulated disk, on which the real recovery
 * runs in this process; a second power cut follows, in its middle or behind it.
 *
 * Threads: one. */
#include "crash/judge.h"

#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"
#include "history/check.h"
#include "lib/sim_storage.h"
#include "lib/tempdir.h"
#include "server/config.h"
#include "server/engine.h"

#define LOG_FOLDER "data/wal/"
#define LINES_ROOM 8u

static bool __attribute__((format(printf, 2, 3)))
broken(struct judge *judge, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    if (judge->what[0] == '\0') {
        vsnprintf(judge->what, sizeof judge->what, format, arguments);
    }
    va_end(arguments);
    return false;
}

static struct engine_options settings(void)
{
    static struct config config;
    char error[512];
    config_init(&config);
    for (unsigned i = 0; shop_settings[i]; i += 2) {
        CHECK(
            config_set(&config, shop_settings[i], shop_settings[i + 1], true, error, sizeof error));
    }
    return config_engine(&config);
}

void judge_init(struct judge *judge, const struct shop *shop)
{
    *judge = (struct judge){.shop = shop};
    disk_crash(shop->live, NULL, &judge->last);
}

void judge_deinit(struct judge *judge)
{
    disk_image_free(&judge->last);
}

/* ---- Files beside the log ---- */

/* The number in a name such as "FOLDER/wal-000000000000000a.seg"; 0: it is not such a name. */
static uint64_t number_of(const char *path, const char *start, const char *ending)
{
    size_t len = strlen(start);
    if (strncmp(path, start, len) != 0 || strlen(path) != len + 16 + strlen(ending) ||
        strcmp(path + len + 16, ending) != 0) {
        return 0;
    }
    return strtoull(path + len, NULL, 16);
}

/* Which log it is, once an engine has said that it is ready; and never half of that. */
static bool check_identity(struct judge *judge, const struct disk_image *image, uint64_t at)
{
    const struct disk_file *last = disk_image_find(&judge->last, "data/CLUSTER");
    const struct disk_file *file = disk_image_find(image, "data/CLUSTER");
    bool mark = false;
    for (unsigned i = 0; i < image->count; i++) {
        mark |= number_of(image->files[i].path, LOG_FOLDER "begun-", ".mark") != 0;
    }
    if (at >= judge->shop->ready && !file) {
        return broken(judge, "an engine was ready, and CLUSTER is gone");
    }
    if (at >= judge->shop->ready && !mark) {
        return broken(judge, "an engine was ready, and no mark says which segment was begun");
    }
    if (file && (file->size != last->size || memcmp(file->bytes, last->bytes, last->size) != 0)) {
        return broken(judge, "CLUSTER is not whole");
    }
    return true;
}

/* What the archive has is whole, and what the log no longer has is in the archive. */
static bool check_archive(struct judge *judge, const struct disk_image *image)
{
    uint64_t first = UINT64_MAX;
    for (unsigned i = 0; i < image->count; i++) {
        const struct disk_file *file = &image->files[i];
        uint64_t number = number_of(file->path, LOG_FOLDER "wal-", ".seg");
        first = number != 0 && number < first ? number : first;
        if (number_of(file->path, "archive/wal-", ".seg") == 0) {
            continue;
        }
        const struct disk_file *last = disk_image_find(&judge->last, file->path);
        if (!last || last->size != file->size ||
            memcmp(last->bytes, file->bytes, file->size) != 0) {
            return broken(judge, "%s is not what was archived", file->path);
        }
    }
    for (uint64_t number = 1; first != UINT64_MAX && number < first; number++) {
        char path[DISK_PATH_BYTES];
        snprintf(path, sizeof path, "archive/wal-%016llx.seg", (unsigned long long)number);
        if (!disk_image_find(image, path)) {
            return broken(judge, "segment %llu is neither in the log nor in the archive",
                          (unsigned long long)number);
        }
    }
    return true;
}

/* ---- Orders and stock ---- */

struct sums {
    int64_t held;
    int64_t sold_low; /* of what was forgotten it may not be known which version it was */
    int64_t sold_high;
};

struct moment {
    uint64_t at;
    uint64_t time_ns;
    struct sums sums[SHOP_ITEMS + 1];
};

/* The versions that it may be in: the last that was answered, and the one that was asked for. */
static void possible(const struct shop_order *order, uint64_t at, int *from, int *upto)
{
    *from = -1;
    *upto = -1;
    for (unsigned i = 0; i < order->count; i++) {
        *from = order->versions[i].answered <= at ? (int)i : *from;
        *upto = order->versions[i].asked < at ? (int)i : *upto;
    }
    *upto = *upto < *from ? *from : *upto;
}

static bool is_absent(const struct shop_order *order, int version)
{
    return version < 0 || order->versions[version].state == HF_ORDER_NONE;
}

static bool may_be_forgotten(const struct shop_order *order, int version,
                             const struct moment *moment)
{
    const struct shop_version *last = &order->versions[version];
    return (last->state != HF_ORDER_HELD || order->brief) &&
           moment->time_ns >= last->asked_ns + SHOP_RETAIN_MS * 1000000ull / 2;
}

static bool check_absent(struct judge *judge, const struct shop_order *order, const char *id,
                         int from, int upto, struct moment *moment)
{
    int64_t low[SHOP_LINES_MAX] = {0};
    int64_t high[SHOP_LINES_MAX] = {0};
    bool allowed = false;
    for (int version = from; version <= upto; version++) {
        const struct shop_version *known = version < 0 ? NULL : &order->versions[version];
        bool forgotten = !is_absent(order, version) && may_be_forgotten(order, version, moment);
        for (uint32_t i = 0; forgotten && i < order->lines; i++) {
            int64_t sold = known->state == HF_ORDER_COMMITTED ? known->qty[i] : 0;
            low[i] = !allowed || sold < low[i] ? sold : low[i];
            high[i] = sold > high[i] ? sold : high[i];
        }
        if (is_absent(order, version)) {
            memset(low, 0, sizeof low);
        }
        allowed |= forgotten || is_absent(order, version);
    }
    for (uint32_t i = 0; i < order->lines; i++) {
        moment->sums[order->item[i]].sold_low += low[i];
        moment->sums[order->item[i]].sold_high += high[i];
    }
    return allowed || broken(judge, "order %s is lost: its operation %u was answered at %llu", id,
                             (unsigned)order->versions[from].operation,
                             (unsigned long long)order->versions[from].answered);
}

/* Units that the order has by the engine's account; -1: of a line that it should not have. */
static int64_t units_of(enum order_state state, const struct order_line_view *line)
{
    switch (state) {
    case ORDER_HELD:
        return (int64_t)line->qty - line->released;
    case ORDER_COMMITTED:
        return (int64_t)line->committed - line->returned;
    default:
        return 0;
    }
}

static bool is_version(const struct shop_order *order, const struct shop_version *version,
                       const struct order_view *view, const struct order_line_view *lines)
{
    bool expired = order->brief && version->state == HF_ORDER_HELD &&
                   (int)view->state == (int)HF_ORDER_EXPIRED;
    if ((int)view->state != (int)version->state && !expired) {
        return false;
    }
    bool fits = view->line_count == order->lines;
    bool has = version->state == HF_ORDER_HELD || version->state == HF_ORDER_COMMITTED;
    for (uint32_t i = 0; fits && i < order->lines; i++) {
        int64_t expected = has && !expired ? version->qty[i] : 0;
        fits = lines[i].item == order->item[i] && units_of(view->state, &lines[i]) == expected;
    }
    return fits;
}

static bool check_order(struct judge *judge, struct inventory *inventory,
                        const struct shop_order *order, struct moment *moment)
{
    char id[37];
    struct order_view view;
    struct order_line_view lines[LINES_ROOM];
    int from;
    int upto;
    hf_id_to_text(order->id, id);
    possible(order, moment->at, &from, &upto);
    enum hf_status status =
        inventory_order(inventory, id_from_bytes(order->id.bytes), &view, lines, LINES_ROOM);
    if (status == HF_NOT_FOUND) {
        return check_absent(judge, order, id, from, upto, moment);
    }
    for (int version = from < 0 ? 0 : from; version <= upto; version++) {
        if (!is_version(order, &order->versions[version], &view, lines)) {
            continue;
        }
        for (uint32_t i = 0; i < order->lines; i++) {
            struct sums *sums = &moment->sums[order->item[i]];
            int64_t units = units_of(view.state, &lines[i]);
            sums->held += view.state == ORDER_HELD ? units : 0;
            sums->sold_low += view.state == ORDER_COMMITTED ? units : 0;
            sums->sold_high += view.state == ORDER_COMMITTED ? units : 0;
        }
        return true;
    }
    return broken(judge, "order %s has state %d, which is none of its versions %d to %d", id,
                  (int)view.state, from, upto);
}

/* What may be stocked of an item: what was answered, perhaps with the one that was asked for. */
static bool check_stocked(const struct shop *shop, uint32_t item, uint64_t at, int64_t stocked)
{
    int64_t sum = 0;
    int64_t perhaps = 0;
    for (unsigned i = 0; i < shop->adjust_count; i++) {
        const struct shop_adjust *adjust = &shop->adjusts[i];
        int64_t delta = adjust->to_item == 0 ? adjust->delta : -adjust->delta;
        delta = adjust->item == item ? delta : adjust->to_item == item ? adjust->delta : 0;
        if (adjust->answered <= at) {
            sum += delta;
        } else if (adjust->asked < at) {
            perhaps = delta;
        }
    }
    return stocked == sum || stocked == sum + perhaps;
}

static bool check_stock(struct judge *judge, struct inventory *inventory, struct moment *moment)
{
    for (uint32_t item = 1; item <= SHOP_ITEMS; item++) {
        struct item_view view;
        const struct sums *sums = &moment->sums[item];
        if (inventory_item(inventory, item, &view) != HF_OK) {
            if (moment->at >= judge->shop->define_answered) {
                return broken(judge, "item %u is gone", item);
            }
            continue;
        }
        if (!check_stocked(judge->shop, item, moment->at, view.stock.stocked)) {
            return broken(judge, "item %u: %lld are stocked", item, (long long)view.stock.stocked);
        }
        if (view.stock.held != sums->held || view.stock.sold < sums->sold_low ||
            view.stock.sold > sums->sold_high) {
            return broken(
                judge, "item %u: held %lld and sold %lld, by its orders %lld and %lld..%lld", item,
                (long long)view.stock.held, (long long)view.stock.sold, (long long)sums->held,
                (long long)sums->sold_low, (long long)sums->sold_high);
        }
        if (view.stock.held + view.stock.sold > view.stock.stocked) {
            return broken(judge, "item %u is oversold", item);
        }
    }
    return true;
}

static bool check_books(struct judge *judge, struct engine *engine, uint64_t at, uint64_t time_ns)
{
    struct inventory *inventory = engine_inventory(engine);
    struct moment moment = {.at = at, .time_ns = time_ns};
    char what[256] = "";
    for (unsigned i = 0; i < judge->shop->order_count; i++) {
        if (!check_order(judge, inventory, &judge->shop->orders[i], &moment)) {
            return false;
        }
    }
    if (!check_stock(judge, inventory, &moment)) {
        return false;
    }
    if (!inventory_verify(inventory, what, sizeof what)) {
        return broken(judge, "the books: %s", what);
    }
    return engine_digest(engine) == inventory_digest(inventory) ||
           broken(judge, "the digest is not that of the state");
}

/* ---- The log ---- */

static struct storage *make_storage(const struct disk_image *image, uint64_t seed)
{
    struct storage *storage = sim_storage_make(seed);
    for (unsigned i = 0; i < image->count; i++) {
        const struct disk_file *file = &image->files[i];
        const char *name = file->path + strlen(LOG_FOLDER);
        if (file->is_directory || strncmp(file->path, LOG_FOLDER, strlen(LOG_FOLDER)) != 0) {
            continue;
        }
        uint64_t size;
        CHECK(storage->ops->create_zeroed(storage, name, file->size) == HF_OK);
        memcpy(sim_storage_data(storage, name, &size), file->bytes, file->size);
    }
    return storage;
}

/* As `holdfast wal verify` does. */
static bool check_log(struct judge *judge, struct storage *storage)
{
    struct history_findings findings;
    struct history_fault fault = {0};
    const struct history_check_options options = {.storage = storage, .state = true};
    enum hf_status status = history_check(&options, &findings);
    if (status != HF_OK) {
        return broken(judge, "wal verify: %s", hf_status_text(status));
    }
    judge->verified++;
    bool whole = history_findings_whole(&findings) && history_findings_starts(&findings);
    if (!whole) {
        (void)history_findings_fault(&findings, &fault);
        broken(judge, "wal verify finds damage: %s %s; covered: %s %s", fault.file, fault.reason,
               findings.covered.file, findings.covered.reason);
    }
    history_findings_free(&findings);
    return whole;
}

static enum hf_status open_engine(struct engine **engine, struct storage *storage,
                                  struct engine_recovery *recovery)
{
    static struct engine_options options;
    options = settings();
    return engine_open(engine, &options, storage, clock_real(), recovery);
}

/* The power fails, or the process is killed, while the engine is recovering. */
static void interrupt(struct judge *judge, struct storage *storage, struct rng *rng)
{
    struct engine *engine = NULL;
    struct engine_recovery recovery;
    sim_storage_crash_after(storage, 1 + rng_below(rng, 12));
    bool opened = open_engine(&engine, storage, &recovery) == HF_OK;
    bool killed = rng_chance(rng, 3);
    judge->reopened++;
    if (killed) {
        sim_storage_kill(storage);
    } else {
        sim_storage_stop(storage);
    }
    if (opened) {
        engine_close(engine);
    }
    if (!killed) {
        sim_storage_crash(storage);
    }
}

/* notices: something is damaged, and recovery may say so. */
static bool open_and_check(struct judge *judge, struct storage *storage, uint64_t at,
                           uint64_t time_ns, bool notices, uint64_t *digest)
{
    struct engine *engine = NULL;
    struct engine_recovery recovery = {0};
    enum hf_status status = open_engine(&engine, storage, &recovery);
    if (status != HF_OK) {
        return broken(judge, "the engine does not start: %s: %s", hf_status_text(status),
                      recovery.message);
    }
    judge->torn += recovery.torn_bytes > 0;
    bool fine = check_books(judge, engine, at, time_ns);
    if (fine && !notices && recovery.notice[0]) {
        fine = broken(judge, "recovery says: %s", recovery.notice);
    }
    *digest = engine_digest(engine);
    sim_storage_stop(storage);
    engine_close(engine);
    sim_storage_crash(storage);
    return fine;
}

static bool check_recovery(struct judge *judge, struct storage *storage, uint64_t at,
                           uint64_t time_ns, struct rng *rng)
{
    uint64_t first = 0;
    uint64_t second = 0;
    if (rng_chance(rng, 4) && !check_log(judge, storage)) {
        return false;
    }
    if (rng_chance(rng, 3)) {
        interrupt(judge, storage, rng);
    }
    if (!open_and_check(judge, storage, at, time_ns, false, &first)) {
        return false;
    }
    if (!open_and_check(judge, storage, at, time_ns, false, &second)) {
        char what[sizeof judge->what];
        memcpy(what, judge->what, sizeof what);
        snprintf(judge->what, sizeof judge->what, "after a second power cut: %.2000s", what);
        return false;
    }
    return first == second || broken(judge, "a second recovery comes to another state");
}

/* The newest checkpoint is damaged: the one before it and its segments are kept for that. */
static bool check_second_line(struct judge *judge, const struct disk_image *image, uint64_t at,
                              uint64_t time_ns, struct rng *rng)
{
    const char *newest = NULL;
    uint64_t digest;
    for (unsigned i = 0; i < image->count; i++) {
        const char *path = image->files[i].path;
        bool is_one = number_of(path, LOG_FOLDER "checkpoint-", ".ckp") != 0;
        newest = is_one && (!newest || strcmp(path, newest) > 0) ? path : newest;
    }
    if (!newest) {
        return true;
    }
    struct storage *storage = make_storage(image, rng_next(rng));
    uint64_t size;
    uint8_t *data = sim_storage_data(storage, newest + strlen(LOG_FOLDER), &size);
    data[rng_below(rng, size < 64 ? size : 64)] ^= 0x10; /* in its header */
    bool fine = open_and_check(judge, storage, at, time_ns, true, &digest);
    judge->second_line++;
    storage_destroy(storage);
    if (!fine) {
        char what[sizeof judge->what];
        memcpy(what, judge->what, sizeof what);
        snprintf(judge->what, sizeof judge->what, "with a damaged checkpoint: %.2000s", what);
    }
    return fine;
}

bool judge_state(struct judge *judge, const struct disk_image *image, uint64_t at, uint64_t time_ns,
                 struct rng *rng)
{
    judge->what[0] = '\0';
    if (!check_identity(judge, image, at) || !check_archive(judge, image)) {
        return false;
    }
    struct storage *storage = make_storage(image, rng_next(rng));
    bool fine = check_recovery(judge, storage, at, time_ns, rng);
    storage_destroy(storage);
    return fine && (rng_chance(rng, 2) || check_second_line(judge, image, at, time_ns, rng));
}

/* ---- The binary ---- */

void judge_write(const struct disk_image *image, const char *folder)
{
    static const uint8_t zeros[4096];
    for (unsigned i = 0; i < image->count; i++) {
        const struct disk_file *file = &image->files[i];
        char *path = tempdir_join(folder, file->path);
        if (file->is_directory) {
            CHECK(mkdir(path, 0750) == 0);
        } else {
            int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0640);
            CHECK(fd >= 0);
            CHECK(ftruncate(fd, (off_t)file->size) == 0);
            for (uint64_t at = 0; at < file->size; at += 4096) {
                size_t len = file->size - at < 4096 ? (size_t)(file->size - at) : 4096;
                if (memcmp(file->bytes + at, zeros, len) != 0) {
                    CHECK(pwrite(fd, file->bytes + at, len, (off_t)at) == (ssize_t)len);
                }
            }
            close(fd);
        }
        free(path);
    }
}

/* Runs it with its output in a file. ready: is told to stop once it says so. The exit status. */
static int run_binary(const char *folder, const char *const *arguments, bool serves)
{
    char *path = tempdir_join(folder, "said.txt");
    int ends[2];
    CHECK(pipe2(ends, O_CLOEXEC) == 0);
    fflush(stdout);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        int errors = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
        dup2(ends[1], STDOUT_FILENO);
        dup2(errors, STDERR_FILENO);
        execv(arguments[0], (char *const *)arguments);
        _exit(127);
    }
    close(ends[1]);
    char said[4096];
    size_t used = 0;
    ssize_t got;
    while ((got = read(ends[0], said + used, sizeof said - 1 - used)) > 0) {
        used += (size_t)got;
        said[used] = '\0';
        if (serves && strstr(said, "ready\n")) {
            kill(pid, SIGTERM);
            serves = false;
        }
        used = used > sizeof said / 2 ? 0 : used;
    }
    close(ends[0]);
    int status = 0;
    CHECK(waitpid(pid, &status, 0) == pid);
    free(path);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

bool judge_with_binary(struct judge *judge, const struct disk_image *image, const char *binary)
{
    char *folder = tempdir_make();
    char *data = tempdir_join(folder, "data");
    char url[512];
    snprintf(url, sizeof url, "ipc://%s/s", folder);
    judge_write(image, folder);
    const char *verify[] = {binary, "wal", "verify", "--data", data, NULL};
    const char *serve[] = {
        binary, "serve",        "--data", data, "--listen", url, "--wal-segment-bytes",
        "4M",   "--orders-max", "20000",  NULL};
    bool any = disk_image_find(image, "data/wal/wal-0000000000000001.seg") != NULL ||
               disk_image_find(image, "data/CLUSTER") != NULL;
    int verified = any ? run_binary(folder, verify, false) : 0;
    int served = run_binary(folder, serve, true);
    judge->what[0] = '\0';
    if (verified != 0) {
        broken(judge, "holdfast wal verify ends with %d", verified);
    } else if (served != 0) {
        broken(judge, "holdfast serve ends with %d", served);
    }
    free(data);
    tempdir_remove(folder);
    return judge->what[0] == '\0';
}
