/* import.c - fuzzes the reading of stock files: what `holdfast stock import` would do.
 *
 * A file that is taken has only values that the engine takes: codes, numbers and times within the
 * protocol's bounds, each item once. One that is refused is refused with a row and a reason.
 * Threads: one. */
#include "cli/import.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/limits.h"
#include "fuzz.h"

const unsigned fuzz_runs = 10000;

/* Reads without saying anything on stderr. */
static bool read_quietly(struct import *import, const char *path)
{
    static int nowhere = -1;
    if (nowhere < 0) {
        nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
        FUZZ_CHECK(nowhere >= 0, "no /dev/null");
    }
    int kept = dup(STDERR_FILENO);
    FUZZ_CHECK(kept >= 0 && dup2(nowhere, STDERR_FILENO) >= 0, "no descriptors");
    bool fine = import_read(import, path, NULL);
    fflush(stderr);
    dup2(kept, STDERR_FILENO);
    close(kept);
    return fine;
}

static void check_units(const char *name, bool there, int64_t value)
{
    FUZZ_CHECK(!there || (value >= 0 && value <= STOCK_MAX), "%s: %lld", name, (long long)value);
}

static void check_sale_time(uint64_t ms)
{
    FUZZ_CHECK(ms == 0 || (ms >= SALE_TIME_MS_MIN && ms <= SALE_TIME_MS_MAX), "%llu",
               (unsigned long long)ms);
}

static void check_row(const struct import_row *row)
{
    FUZZ_CHECK(row->number >= 2, "row %llu", (unsigned long long)row->number);
    size_t sku = strlen(row->sku);
    size_t pool = strlen(row->pool);
    FUZZ_CHECK(sku >= 1 && sku <= CODE_BYTES_MAX, "a SKU of %zu bytes", sku);
    FUZZ_CHECK(pool >= 1 && pool <= CODE_BYTES_MAX, "a pool of %zu bytes", pool);
    FUZZ_CHECK(!row->label || strlen(row->label) <= LABEL_BYTES_MAX, "a long label");
    check_units("stock", row->has_stock, row->stock);
    check_units("safety", row->has_safety, row->safety);
    check_units("presale_cap", row->has_presale_cap, row->presale_cap);
    check_sale_time(row->opens_at_ms);
    check_sale_time(row->closes_at_ms);
}

static void check_import(const struct import *import)
{
    FUZZ_CHECK(import->error_count == 0 && import->first_error[0] == '\0', "taken, with an error");
    for (uint32_t i = 0; i < import->row_count; i++) {
        check_row(&import->rows[i]);
        if (i > 0) {
            const struct import_row *before = import->sorted[i - 1];
            const struct import_row *row = import->sorted[i];
            int order = strcmp(before->sku, row->sku);
            order = order ? order : strcmp(before->pool, row->pool);
            FUZZ_CHECK(order < 0, "%s@%s twice, or not sorted", row->sku, row->pool);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int file = memfd_create("import", MFD_CLOEXEC);
    FUZZ_CHECK(file >= 0, "no memory file");
    FUZZ_CHECK(write(file, data, size) == (ssize_t)size, "no room in memory");
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    struct import import;
    bool fine = read_quietly(&import, path);
    close(file);
    if (fine) {
        check_import(&import);
    } else {
        FUZZ_CHECK(import.error_count > 0 && import.first_error[0] != '\0',
                   "refused without a reason");
    }
    import_deinit(&import);
    return 0;
}

/* ---- Seeds: files as people have them, with cells at and beside their bounds ---- */

static const char *const columns[] = {"sku",         "pool",        "label",  "stock",
                                      "safety",      "presale_cap", "hot",    "limit_per_buyer",
                                      "opens_at",    "closes_at",   "paused", "hold_ms",
                                      "hold_ms_max", "colour"};
#define COLUMNS (sizeof columns / sizeof columns[0])

static const char *cell(struct rng *rng)
{
    static const char *const cells[] = {
        "",
        "0",
        "1",
        "A",
        "B",
        "online",
        "yes",
        "no",
        "9007199254740992",
        "9007199254740993",
        "-1",
        "4294967295",
        "4294967296",
        "18446744073709551615",
        "2026-11-11T10:00:00Z",
        "2026-11-12",
        "946684799999",
        "946684800000",
        "4102444799999",
        "4102444800000",
        "15m",
        "7d",
        "1.23E+15",
        "#REF!",
        "0123456789012345678901234567890123456789012345678901234567890123",
        "01234567890123456789012345678901234567890123456789012345678901234",
        "\"a, \"\"b\"\"\"",
        "\xE6\x89\x8B\xE6\x9C\xBA"};
    return cells[rng_below(rng, sizeof cells / sizeof cells[0])];
}

static size_t add(uint8_t *to, size_t len, size_t room, const char *text)
{
    size_t more = strlen(text);
    if (len + more > room) {
        return len;
    }
    memcpy(to + len, text, more);
    return len + more;
}

size_t fuzz_seed(struct rng *rng, uint8_t *to, size_t room)
{
    unsigned chosen[COLUMNS];
    unsigned count = 1;
    chosen[0] = 0; /* a file without SKUs ends soon */
    for (unsigned i = 1; i < COLUMNS; i++) {
        if (rng_chance(rng, 3)) {
            chosen[count++] = i;
        }
    }
    size_t len = 0;
    for (unsigned i = 0; i < count; i++) {
        len = add(to, len, room, i ? "," : "");
        len = add(to, len, room, columns[chosen[i]]);
    }
    len = add(to, len, room, "\n");
    for (uint64_t rows = rng_below(rng, 6); rows > 0; rows--) {
        for (unsigned i = 0; i < count; i++) {
            char name[8];
            snprintf(name, sizeof name, "S%u", (unsigned)rng_below(rng, 4));
            len = add(to, len, room, i ? "," : "");
            len = add(to, len, room, chosen[i] == 0 && !rng_chance(rng, 6) ? name : cell(rng));
        }
        len = add(to, len, room, "\n");
    }
    return len;
}

/* Another cell in the place of one. */
size_t fuzz_mutate(struct rng *rng, uint8_t *data, size_t size, size_t room)
{
    size_t from = rng_below(rng, size + 1);
    while (from > 0 && data[from - 1] != ',' && data[from - 1] != '\n') {
        from--;
    }
    size_t to = from;
    while (to < size && data[to] != ',' && data[to] != '\n') {
        to++;
    }
    const char *text = rng_chance(rng, 10) ? columns[rng_below(rng, COLUMNS)] : cell(rng);
    size_t more = strlen(text);
    if (size - (to - from) + more > room || rng_chance(rng, 5)) {
        return fuzz_mutate_bytes(rng, data, size, room);
    }
    memmove(data + from + more, data + to, size - to);
    memcpy(data + from, text, more);
    return size - (to - from) + more;
}
