/* config.c - fuzzes the reading of configuration files.
 *
 * A file that is accepted leaves every setting in its range (docs/operations.md, limits.h);
 * one that is refused is refused with a reason. Threads: one. */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"
#include "io/storage_open.h"
#include "server/config.h"

const unsigned fuzz_runs = 20000;

static void check_text(const char *text, size_t room)
{
    FUZZ_CHECK(memchr(text, '\0', room), "a text does not end");
}

static void check_range(const char *name, uint64_t value, uint64_t min, uint64_t max)
{
    FUZZ_CHECK(value >= min && value <= max, "%s: %llu", name, (unsigned long long)value);
}

/* Holds after every reading, whether the file was accepted or not. */
static void check_settings(const struct config *config)
{
    check_text(config->data, sizeof config->data);
    check_text(config->token, sizeof config->token);
    check_range("listen", config->listen_count, 0, CONFIG_LISTEN_MAX);
    for (unsigned i = 0; i < config->listen_count; i++) {
        check_text(config->listen[i], sizeof config->listen[i]);
    }
    check_range("wal-io", config->wal_io, STORAGE_AUTO, STORAGE_SYNC);
    check_range("log-level", config->diag_level, DIAG_DEBUG, DIAG_ERROR);
    check_range("items-max", config->items_max, 1, ITEMS_MAX);
    check_range("orders-max", config->orders_max, 1, ORDERS_MAX);
    check_range("hold-ms", config->hold_ms, 1, UINT32_MAX);
    check_range("hold-ms-max", config->hold_ms_max, 1, UINT32_MAX);
    check_range("wal-segment-bytes", config->wal_segment_bytes, WAL_SEGMENT_BYTES_MIN,
                WAL_SEGMENT_BYTES_MAX);
    check_range("wal-spare-segments", config->wal_spare_segments, 1, 64);
    check_range("contexts", config->contexts, 1, SERVER_CONTEXTS_MAX);
}

static void check_accepted(struct config *config)
{
    char error[512] = "";
    FUZZ_CHECK(config->data[0] != '\0', "an empty directory");
    if (!config_check(config, error, sizeof error)) {
        FUZZ_CHECK(error[0] != '\0', "refused without a reason");
        return;
    }
    struct engine_options options = config_engine(config);
    FUZZ_CHECK(options.wal.segment_bytes % WAL_PAGE_BYTES == 0, "%llu",
               (unsigned long long)options.wal.segment_bytes);
    FUZZ_CHECK(options.inventory.hold_ms_default <= options.inventory.hold_ms_max, "%u",
               options.inventory.hold_ms_default);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int file = memfd_create("config", 0);
    FUZZ_CHECK(file >= 0, "no memory file");
    FUZZ_CHECK(write(file, data, size) == (ssize_t)size, "no room in memory");
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    static struct config config;
    config_init(&config);
    char error[512] = "";
    bool accepted = config_read(&config, path, error, sizeof error);
    close(file);
    check_settings(&config);
    if (accepted) {
        check_accepted(&config);
    } else {
        FUZZ_CHECK(error[0] != '\0', "refused without a reason");
    }
    return 0;
}

size_t fuzz_seed(struct rng *rng, uint8_t *to, size_t room)
{
    static const char *const texts[] = {
        "data = ./holdfast-data",
        "listen = tcp://127.0.0.1:7411",
        "listen = ipc:///tmp/h.sock",
        "token = s3cret ; a comment",
        "wal-io = sync",
        "wal-io: uring",
        "log-level = debug",
        "[holdfast]",
        "# a comment",
        "[other]",
        "hold-ms = 15m",
        "hold-ms-max = 7d",
        "wal-segment-bytes = 64M",
        "wal-segment-bytes = 4194304",
        "orders-max = 67108864",
        ("\xEF\xBB\xBF"
         "contexts = 64"),
        "data =",
        "  continued",
    };
    static const char *const numbers[] = {"items-max",         "orders-max",        "hold-ms",
                                          "hold-ms-max",       "wal-segment-bytes", "contexts",
                                          "wal-spare-segments"};
    static const char *const units[] = {"", "", "K", "MiB", "G", "ms", "s", "h", "d", " "};
    size_t len = 0;
    for (uint64_t lines = rng_between(rng, 1, 8); lines > 0; lines--) {
        char line[128];
        if (rng_chance(rng, 3)) {
            snprintf(line, sizeof line, "%s = %llu%s\n", numbers[rng_below(rng, 7)],
                     (unsigned long long)fuzz_number(rng), units[rng_below(rng, 10)]);
        } else {
            snprintf(line, sizeof line, "%s\n",
                     texts[rng_below(rng, sizeof texts / sizeof texts[0])]);
        }
        size_t more = strlen(line);
        if (len + more <= room) {
            memcpy(to + len, line, more);
            len += more;
        }
    }
    return len;
}
