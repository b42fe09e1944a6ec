/* values.c - fuzzes what reads values on command lines, in cells and in settings: numbers, lines of
 * orders, states, times, durations, sizes, addresses.
 *
 * What is accepted is within its bounds, and the same whatever stands in front of it that means
 * nothing; what is refused is refused with a reason. Numbers are held against a reading of their
 * digits that is written anew here. Threads: one. */
#include "cli/values.h"
#include "base/times.h"

#include <string.h>

#include "base/address.h"
#include "base/cell.h"
#include "base/units.h"
#include "fuzz.h"

const unsigned fuzz_runs = 100000;

static void check_reason(bool accepted, const char *reason)
{
    FUZZ_CHECK(accepted || reason[0] != '\0', "refused without a reason");
}

/* Digits alone: *value, or false when there is anything else or it is beyond 64 bits. */
static bool digits(const char *text, uint64_t *value)
{
    *value = 0;
    for (const char *at = text; *at; at++) {
        if (*at < '0' || *at > '9' || __builtin_mul_overflow(*value, 10, value) ||
            __builtin_add_overflow(*value, (uint64_t)(*at - '0'), value)) {
            return false;
        }
    }
    return text[0] != '\0';
}

static void check_unsigned(const char *text)
{
    static const uint64_t bounds[][2] = {{0, UINT32_MAX}, {1, QTY_MAX},   {0, STOCK_MAX},
                                         {0, UINT64_MAX}, {1, INT64_MAX}, {5, 5}};
    for (size_t i = 0; i < sizeof bounds / sizeof bounds[0]; i++) {
        char reason[REASON_BYTES] = "";
        uint64_t value = 0;
        uint64_t expected;
        bool is_number = digits(text, &expected);
        bool fits = is_number && expected >= bounds[i][0] && expected <= bounds[i][1];
        bool accepted = parse_unsigned(text, bounds[i][0], bounds[i][1], &value, reason);
        check_reason(accepted, reason);
        FUZZ_CHECK(accepted == fits || !is_number, "%s", text);
        FUZZ_CHECK(!accepted || (value >= bounds[i][0] && value <= bounds[i][1]), "%s", text);
        FUZZ_CHECK(!accepted || !is_number || value == expected, "%s", text);
    }
}

static void check_signed(const char *text)
{
    static const int64_t bounds[][2] = {
        {-STOCK_MAX, STOCK_MAX}, {0, STOCK_MAX}, {-INT64_MAX, INT64_MAX}, {-1, 1}};
    for (size_t i = 0; i < sizeof bounds / sizeof bounds[0]; i++) {
        char reason[CELL_ERROR_BYTES > REASON_BYTES ? CELL_ERROR_BYTES : REASON_BYTES] = "";
        int64_t value = 0;
        bool minus = text[0] == '-';
        uint64_t size;
        bool is_number = digits(text + minus, &size);
        bool fits = is_number &&
                    (minus ? size <= (uint64_t)INT64_MAX + 1 && (int64_t)-size >= bounds[i][0] &&
                                 (int64_t)-size <= bounds[i][1]
                           : size <= INT64_MAX && (int64_t)size >= bounds[i][0] &&
                                 (int64_t)size <= bounds[i][1]);
        bool accepted = parse_signed(text, bounds[i][0], bounds[i][1], &value, reason);
        check_reason(accepted, reason);
        FUZZ_CHECK(accepted == fits || !is_number, "%s", text);
        FUZZ_CHECK(!accepted || (value >= bounds[i][0] && value <= bounds[i][1]), "%s", text);
        reason[0] = '\0';
        accepted = cell_number(bytes_of(text), bounds[i][0], bounds[i][1], &value, reason);
        check_reason(accepted, reason);
        FUZZ_CHECK(!accepted || fits, "a cell %s", text);
        FUZZ_CHECK(!accepted || value == (minus ? (int64_t)-size : (int64_t)size), "%s", text);
    }
}

static void check_code(const char *code)
{
    size_t len = strlen(code);
    FUZZ_CHECK(len >= 1 && len <= CODE_BYTES_MAX, "a code of %zu bytes", len);
}

static void check_line(const char *text)
{
    char reason[REASON_BYTES] = "";
    struct line_wish line;
    bool accepted = parse_line(text, &line, reason);
    check_reason(accepted, reason);
    if (!accepted) {
        return;
    }
    check_code(line.item.sku);
    check_code(line.item.pool);
    FUZZ_CHECK(line.qty >= 1 && line.qty <= QTY_MAX, "%u units", line.qty);
    FUZZ_CHECK(line.min_qty <= QTY_MAX, "%u units at least", line.min_qty);
    FUZZ_CHECK(line.fallback_count <= LINE_FALLBACKS_MAX, "%u items", line.fallback_count);
    for (uint32_t i = 0; i < line.fallback_count; i++) {
        check_code(line.fallbacks[i].sku);
        check_code(line.fallbacks[i].pool);
    }
}

static void check_times(const char *text)
{
    char reason[REASON_BYTES] = "";
    char shown[TIME_TEXT_BYTES];
    uint64_t ms = 0;
    bool accepted = parse_time(text, &ms, reason);
    check_reason(accepted, reason);
    if (accepted) {
        uint64_t again = 0;
        time_text(ms, shown);
        FUZZ_CHECK(ms == 0 || !parse_time(shown, &again, reason) || again == ms, "%s, then %s",
                   text, shown);
    }
    reason[0] = '\0';
    accepted = parse_sale_time(text, &ms, reason);
    check_reason(accepted, reason);
    FUZZ_CHECK(!accepted || ms == 0 || (ms >= SALE_TIME_MS_MIN && ms <= SALE_TIME_MS_MAX),
               "%s: %llu", text, (unsigned long long)ms);
    uint32_t duration;
    reason[0] = '\0';
    check_reason(parse_duration(text, &duration, reason), reason);
    uint64_t number;
    uint64_t expected;
    if (units_duration(text, &number) == UNITS_FINE && digits(text, &expected)) {
        FUZZ_CHECK(number == expected, "%s ms", text);
    }
    if (units_size(text, &number) == UNITS_FINE && digits(text, &expected)) {
        FUZZ_CHECK(number == expected, "%s bytes", text);
    }
}

static void check_address(const char *text)
{
    for (int use = ADDRESS_LISTEN; use <= ADDRESS_CONNECT; use++) {
        char reason[ADDRESS_REASON_BYTES] = "";
        struct address address;
        bool accepted = address_parse(text, (enum address_use)use, &address, reason);
        check_reason(accepted, reason);
        FUZZ_CHECK(memchr(reason, '\0', sizeof reason), "a reason does not end");
        if (!accepted) {
            continue;
        }
        FUZZ_CHECK(strlen(text) <= ADDRESS_BYTES_MAX, "%zu bytes", strlen(text));
        FUZZ_CHECK(address.ipc ? strlen(address.path) <= ADDRESS_PATH_MAX && address.path[0]
                               : memchr(address.host, '\0', sizeof address.host) != NULL,
                   "%s", text);
        FUZZ_CHECK(use == ADDRESS_LISTEN || address.ipc || (address.host[0] && address.port),
                   "%s: nowhere to connect to", text);
        FUZZ_CHECK(address_same(&address, &address) == (address.ipc || address.port != 0), "%s",
                   text);
        (void)address_is_local(&address);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    FUZZ_CHECK(text, "out of memory");
    memcpy(text, data, size);
    text[size] = '\0';
    check_unsigned(text);
    check_signed(text);
    check_line(text);
    check_times(text);
    check_address(text);
    char reason[REASON_BYTES] = "";
    struct item_name item;
    bool accepted = parse_item(text, &item, reason);
    check_reason(accepted, reason);
    if (accepted) {
        check_code(item.sku);
        check_code(item.pool);
    }
    uint32_t states;
    reason[0] = '\0';
    check_reason(parse_states(text, &states, reason), reason);
    bool flag;
    reason[0] = '\0';
    check_reason(parse_bool(text, &flag, reason), reason);
    free(text);
    return 0;
}

size_t fuzz_seed(struct rng *rng, uint8_t *to, size_t room)
{
    static const char *const texts[] = {"85123A",
                                        "85123A@online:2",
                                        "GIFT:1000000000:up-to=1",
                                        "A@b:1000000001:optional:or=B@c,D:split",
                                        "held,expired",
                                        "2026-11-11T10:00:00.000+08:00",
                                        "2026-11-11",
                                        "1794355200000",
                                        "4102444799999",
                                        "946684799999",
                                        "1.5h",
                                        "49d17h2m47s",
                                        "4294967295ms",
                                        "4294967296ms",
                                        "64KiB",
                                        "tcp://127.0.0.1:7411",
                                        "tcp://[::1]:65535",
                                        "tcp://*:65536",
                                        "ipc:///tmp/h.sock",
                                        "yes",
                                        "-9007199254740992",
                                        "9007199254740993",
                                        "+1",
                                        "00000000000000000000001"};
    char text[128];
    if (rng_chance(rng, 3)) {
        snprintf(text, sizeof text, "%s%llu", rng_chance(rng, 2) ? "-" : "",
                 (unsigned long long)fuzz_number(rng));
    } else {
        snprintf(text, sizeof text, "%s", texts[rng_below(rng, sizeof texts / sizeof *texts)]);
    }
    size_t len = strlen(text) < room ? strlen(text) : room;
    memcpy(to, text, len);
    return len;
}

/* Puts a number at or beside a bound in the place of a run of digits. */
size_t fuzz_mutate(struct rng *rng, uint8_t *data, size_t size, size_t room)
{
    static const uint64_t bounds[] = {0,
                                      1,
                                      QTY_MAX,
                                      QTY_MAX + 1,
                                      STOCK_MAX,
                                      STOCK_MAX + 1,
                                      UINT32_MAX,
                                      (uint64_t)UINT32_MAX + 1,
                                      SALE_TIME_MS_MIN - 1,
                                      SALE_TIME_MS_MIN,
                                      SALE_TIME_MS_MAX,
                                      SALE_TIME_MS_MAX + 1,
                                      65535,
                                      65536,
                                      INT64_MAX,
                                      (uint64_t)INT64_MAX + 1,
                                      UINT64_MAX};
    size_t from = 0;
    size_t skip = rng_below(rng, size + 1);
    while (from < size && (from < skip || data[from] < '0' || data[from] > '9')) {
        from++;
    }
    size_t to = from;
    while (to < size && data[to] >= '0' && data[to] <= '9') {
        to++;
    }
    if (from == to || rng_chance(rng, 3)) {
        return fuzz_mutate_bytes(rng, data, size, room);
    }
    char number[24];
    int len = snprintf(number, sizeof number, "%llu",
                       (unsigned long long)bounds[rng_below(rng, sizeof bounds / sizeof *bounds)]);
    size_t more = (size_t)len;
    if (size - (to - from) + more > room) {
        return size;
    }
    memmove(data + from + more, data + to, size - to);
    memcpy(data + from, number, more);
    return size - (to - from) + more;
}
