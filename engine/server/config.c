/* config.c - the table of settings, and setting them one by one. Files are read in
 * config_file.c.
 *
 * Threads: one. */
#include "server/config.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/address.h"
#include "base/check.h"
#include "base/limits.h"
#include "base/secret.h"
#include "base/suggest.h"
#include "base/units.h"

enum kind {
    KIND_TEXT,
    KIND_ADDRESS, /* a text that is an address, or "" */
    KIND_LISTEN,
    KIND_FLAG,
    KIND_NUMBER,
    KIND_BYTES,
    KIND_DURATION,
    KIND_WAL_IO,
    KIND_LEVEL
};

struct setting {
    const char *name;
    const char *argument; /* what the help calls its value */
    enum kind kind;
    size_t offset; /* in struct config */
    size_t size;   /* KIND_TEXT: of the field */
    uint64_t min;  /* numbers */
    uint64_t max;
    uint64_t initial;
    const char *initial_text;
    const char *help;
};

#define FIELD(name) offsetof(struct config, name)
#define TEXT(name)  FIELD(name), sizeof(((struct config *)0)->name)

static const struct setting settings[] = {
    {"data", "DIR", KIND_TEXT, TEXT(data), 1, 0, 0, "./holdfast-data", "directory of the log"},
    {"listen", "URL", KIND_LISTEN, FIELD(listen), 0, 0, 0, 0,
     "tcp://127.0.0.1:7411 and ipc://DATA/holdfast.sock", "address to listen on; may be repeated"},
    {"token", "TEXT", KIND_TEXT, TEXT(token), 1, 0, 0, "",
     "requests must carry this token; `ps` shows it: better in a file"},
    {"token-file", "FILE", KIND_TEXT, TEXT(token_file), 1, 0, 0, "",
     "file that holds the token, and that only its owner and group may read"},
    {"insecure", NULL, KIND_FLAG, FIELD(insecure), 0, 0, 0, 0, "no",
     "listen beyond loopback without a token: whoever can connect may do everything"},
    {"wal-io", "WORD", KIND_WAL_IO, FIELD(wal_io), 0, 0, 0, 0, "auto",
     "how the log is written: auto, uring or sync"},
    {"log-level", "WORD", KIND_LEVEL, FIELD(diag_level), 0, 0, 0, 0, "info",
     "debug, info, warn or error"},
    {"items-max", "N", KIND_NUMBER, FIELD(items_max), 0, 1, ITEMS_MAX, ITEMS_MAX_DEFAULT, NULL,
     "items (SKU x pool) that may be defined"},
    {"orders-max", "N", KIND_NUMBER, FIELD(orders_max), 0, 1, ORDERS_MAX, ORDERS_MAX_DEFAULT, NULL,
     "orders that are remembered, ended ones too"},
    {"orders-ready", "N", KIND_NUMBER, FIELD(orders_ready), 0, 0, ORDERS_MAX, ORDERS_READY_DEFAULT,
     NULL, "orders whose memory is taken at start, not in the rush"},
    {"hold-ms", "DURATION", KIND_DURATION, FIELD(hold_ms), 0, 1, UINT32_MAX, HOLD_MS_DEFAULT, NULL,
     "how long units are held when neither request nor SKU sets it"},
    {"hold-ms-max", "DURATION", KIND_DURATION, FIELD(hold_ms_max), 0, 1, UINT32_MAX,
     HOLD_MS_MAX_DEFAULT, NULL, "the longest hold, where the SKU's rules set none"},
    {"buyers-max", "N", KIND_NUMBER, FIELD(buyers_max), 0, 1, ORDERS_MAX, BUYERS_MAX_DEFAULT, NULL,
     "buyers counted at once, one for each limited SKU"},
    {"retain-ended", "DURATION", KIND_DURATION, FIELD(retain_ended_ms), 0, 0, UINT32_MAX,
     RETAIN_ENDED_MS_DEFAULT, NULL, "how long ended orders are remembered; 0: for ever"},
    {"trust-clock", NULL, KIND_FLAG, FIELD(trust_clock), 0, 0, 0, 0, "no",
     "accept the machine's clock at this start, however far it is from the log's last time"},
    {"wal-bytes-max", "SIZE", KIND_BYTES, FIELD(wal_bytes_max), 0, 0, GIB(1024),
     WAL_BYTES_MAX_DEFAULT, NULL,
     "size to which checkpoints keep the log's files; 0: no checkpoints"},
    {"checkpoint-memory", "SIZE", KIND_BYTES, FIELD(checkpoint_memory), 0, CHECKPOINT_MEMORY_MIN,
     GIB(64), CHECKPOINT_MEMORY_DEFAULT, NULL, "about how much memory making a checkpoint takes"},
    {"archive-dir", "DIR", KIND_TEXT, TEXT(archive_dir), 0, 0, 0, "",
     "directory to which each log file is copied before it is reused"},
    {"stream", "URL", KIND_ADDRESS, TEXT(stream), 0, 0, 0, "",
     "address (tcp://, ipc://) that publishes each change once it is durable; with a token: "
     "loopback or ipc"},
    {"stream-fetch", "URL", KIND_ADDRESS, TEXT(stream_fetch), 0, 0, 0, "",
     "address that returns the changes after an LSN; requests carry the token"},
    {"recovery-threads", "N", KIND_NUMBER, FIELD(recovery_threads), 0, 0, RECOVERY_THREADS_MAX, 0,
     NULL, "threads that replay the log; 0: by the number of processors"},
    {"wal-segment-bytes", "SIZE", KIND_BYTES, FIELD(wal_segment_bytes), 0, WAL_SEGMENT_BYTES_MIN,
     WAL_SEGMENT_BYTES_MAX, WAL_SEGMENT_BYTES_DEFAULT, NULL, "size of a log file"},
    {"wal-spare-segments", "N", KIND_NUMBER, FIELD(wal_spare_segments), 0, 1,
     WAL_SPARE_SEGMENTS_MAX, WAL_SPARE_SEGMENTS_DEFAULT, NULL, "log files prepared ahead of use"},
    {"contexts", "N", KIND_NUMBER, FIELD(contexts), 0, 1, SERVER_CONTEXTS_MAX,
     SERVER_CONTEXTS_DEFAULT, NULL,
     "requests that are executed or wait for the log at the same time; others wait for their turn"},
    {"queue-target", "DURATION", KIND_DURATION, FIELD(queue_target_ms), 0, 0, QUEUE_MS_MAX,
     QUEUE_TARGET_MS_DEFAULT, NULL,
     "how long a request may wait for its turn while the engine is overloaded; 0: for ever"},
    {"queue-interval", "DURATION", KIND_DURATION, FIELD(queue_interval_ms), 0, 1, QUEUE_MS_MAX,
     QUEUE_INTERVAL_MS_DEFAULT, NULL,
     "overloaded: some request has waited at each moment for so long"},
    {"connections-per-address", "N", KIND_NUMBER, FIELD(connections_per_address), 0, 0,
     SERVER_CONNECTIONS_MAX, 0, NULL, "connections of one client address; 0: no limit"},
};
#define SETTING_COUNT (sizeof settings / sizeof settings[0])

static_assert(ITEMS_MAX_DEFAULT <= ITEMS_MAX, "a default is in its range");
static_assert(ORDERS_MAX_DEFAULT <= ORDERS_MAX, "a default is in its range");
static_assert(ORDERS_READY_DEFAULT <= ORDERS_MAX_DEFAULT, "memory is taken for orders that fit");
static_assert(BUYERS_MAX_DEFAULT <= ORDERS_MAX, "a default is in its range");
static_assert(HOLD_MS_DEFAULT <= HOLD_MS_MAX_DEFAULT, "config_check refuses anything else");
static_assert(HOLD_MS_MAX_DEFAULT <= UINT32_MAX, "a default is in its range");
static_assert(RETAIN_ENDED_MS_DEFAULT <= UINT32_MAX, "a default is in its range");
static_assert(WAL_SEGMENT_BYTES_MIN <= WAL_SEGMENT_BYTES_DEFAULT, "a default is in its range");
static_assert(WAL_SEGMENT_BYTES_DEFAULT <= WAL_SEGMENT_BYTES_MAX, "a default is in its range");
static_assert(WAL_SEGMENT_BYTES_DEFAULT % WAL_PAGE_BYTES == 0,
              "config_check refuses anything else");
static_assert(WAL_BYTES_MAX_DEFAULT >= 4 * WAL_SEGMENT_BYTES_DEFAULT,
              "config_check refuses anything else");
static_assert(WAL_SPARE_SEGMENTS_DEFAULT <= WAL_SPARE_SEGMENTS_MAX, "a default is in its range");
static_assert(CHECKPOINT_MEMORY_MIN <= CHECKPOINT_MEMORY_DEFAULT, "a default is in its range");
static_assert(SERVER_CONTEXTS_DEFAULT <= SERVER_CONTEXTS_MAX, "a default is in its range");

static void *field_of(struct config *config, const struct setting *setting)
{
    CHECK(setting->offset < sizeof *config);
    return (char *)config + setting->offset;
}

static const struct setting *find_setting(const char *name)
{
    for (size_t i = 0; i < SETTING_COUNT; i++) {
        if (strcmp(settings[i].name, name) == 0) {
            return &settings[i];
        }
    }
    return NULL;
}

static bool set_text(char *to, size_t to_bytes, const char *value)
{
    CHECK(to_bytes > 0);
    size_t len = strlen(value);
    if (len >= to_bytes) {
        return false;
    }
    memcpy(to, value, len + 1);
    return true;
}

/* A number with the units of its kind; without a unit in any case. */
static enum units_result parse_number(enum kind kind, const char *text, uint64_t *value)
{
    return kind == KIND_BYTES      ? units_size(text, value)
           : kind == KIND_DURATION ? units_duration(text, value)
                                   : units_number(text, value);
}

/* The index of a word in a list that ends with NULL; -1: not there. */
static int word_index(const char *const *words, const char *value)
{
    for (int i = 0; words[i]; i++) {
        if (strcmp(words[i], value) == 0) {
            return i;
        }
    }
    return -1;
}

#define TEXT_SHOWN 200 /* bytes of a value that are repeated */

static const char *const wal_io_words[] = {"auto", "uring", "sync", NULL};
static const char *const level_words[] = {"debug", "info", "warn", "error", NULL};

/* Says why an address can't be listened on, and is false. */
static bool refuse_address(bool *refused, const char *setting, const char *url, const char *reason,
                           char *error, size_t error_bytes)
{
    *refused = true;
    snprintf(error, error_bytes, "%s: can't listen on %.*s: %s", setting, TEXT_SHOWN, url, reason);
    return false;
}

static bool check_address(struct config *config, const char *name, const char *value, char *error,
                          size_t error_bytes)
{
    struct address address;
    char reason[ADDRESS_REASON_BYTES];
    return address_parse(value, ADDRESS_LISTEN, &address, reason) ||
           refuse_address(&config->address_refused, name, value, reason, error, error_bytes);
}

static bool set_listen(struct config *config, const char *value, bool from_file, char *error,
                       size_t error_bytes)
{
    CHECK(config->listen_count <= CONFIG_LISTEN_MAX);
    if (!from_file && config->listen_from_file) {
        config->listen_count = 0;
        config->listen_from_file = false;
    }
    if (config->listen_count == CONFIG_LISTEN_MAX) {
        snprintf(error, error_bytes, "listen: more than %u addresses", CONFIG_LISTEN_MAX);
        return false;
    }
    if (!check_address(config, "listen", value, error, error_bytes)) {
        return false;
    }
    set_text(config->listen[config->listen_count], CONFIG_TEXT_BYTES, value); /* far longer */
    config->listen_count++;
    config->listen_from_file = from_file;
    return true;
}

/* A number as one would write it: 64M, 15m; a number without a unit as it is. */
static const char *number_text(enum kind kind, uint64_t number, char text[UNITS_TEXT_BYTES])
{
    if (kind == KIND_BYTES) {
        return units_text_of_size(number, text);
    }
    if (kind == KIND_DURATION) {
        return units_text_of_duration(number, text);
    }
    snprintf(text, UNITS_TEXT_BYTES, "%llu", (unsigned long long)number);
    return text;
}

static bool set_number(struct config *config, const struct setting *setting, const char *value,
                       char *error, size_t error_bytes)
{
    CHECK(setting->size == 0);
    CHECK(setting->min <= setting->max);
    uint64_t number;
    if (parse_number(setting->kind, value, &number) != UNITS_FINE) {
        const char *units = setting->kind == KIND_BYTES      ? " (with K, M or G)"
                            : setting->kind == KIND_DURATION ? " (ms, or with s, m, h, d)"
                                                             : "";
        snprintf(error, error_bytes, "%s: \"%s\" is not a number%s", setting->name, value, units);
        return false;
    }
    if (number < setting->min || number > setting->max) {
        const char *longest = setting->kind == KIND_DURATION && setting->max == UINT32_MAX
                                  ? ", which is 49 days"
                                  : "";
        char texts[3][UNITS_TEXT_BYTES];
        snprintf(error, error_bytes, "%s: %s, must be %s..%s%s", setting->name,
                 number_text(setting->kind, number, texts[0]),
                 number_text(setting->kind, setting->min, texts[1]),
                 number_text(setting->kind, setting->max, texts[2]), longest);
        return false;
    }
    memcpy(field_of(config, setting), &number, sizeof number);
    return true;
}

static void refuse_word(const char *const *words, const char *name, const char *value, char *error,
                        size_t error_bytes)
{
    char known[64] = "";
    for (size_t i = 0, used = 0; words[i] && used < sizeof known; i++) {
        used +=
            (size_t)snprintf(known + used, sizeof known - used, "%s%s", i ? ", " : "", words[i]);
    }
    snprintf(error, error_bytes, "%s: \"%s\" is none of %s", name, value, known);
}

static bool no_such_setting(const char *name, char *error, size_t error_bytes)
{
    struct suggest suggest;
    char meant[SUGGEST_TEXT_BYTES];
    suggest_begin(&suggest, name);
    for (size_t i = 0; i < SETTING_COUNT; i++) {
        suggest_offer(&suggest, settings[i].name);
    }
    snprintf(error, error_bytes, "%.*s: there is no such setting%s", TEXT_SHOWN, name,
             suggest_text(&suggest, meant));
    return false;
}

static bool set_flag(bool *flag, const struct setting *setting, const char *value, char *error,
                     size_t error_bytes)
{
    static const char *const words[] = {"no", "yes", "false", "true", "off", "on", "0", "1", NULL};
    int word = word_index(words, value);
    if (word < 0) {
        refuse_word(words, setting->name, value, error, error_bytes);
        return false;
    }
    *flag = word % 2 != 0;
    return true;
}

/* A token or token file on the command line replaces what the settings file has of either.
 */
static void forget_other_token(struct config *config, const struct setting *setting, bool from_file)
{
    bool is_token = setting->offset == FIELD(token);
    if (!is_token && setting->offset != FIELD(token_file)) {
        return;
    }
    if (!from_file && config->token_from_file) {
        (is_token ? config->token_file : config->token)[0] = '\0';
    }
    config->token_from_file = from_file;
}

static bool set_value(struct config *config, const struct setting *setting, const char *value,
                      bool from_file, char *error, size_t error_bytes)
{
    if (strlen(value) < setting->min) {
        snprintf(error, error_bytes, "%s: it is empty: must be %llu..%zu bytes", setting->name,
                 (unsigned long long)setting->min, setting->size - 1);
        return false;
    }
    if (setting->kind == KIND_ADDRESS && value[0] != '\0' &&
        !check_address(config, setting->name, value, error, error_bytes)) {
        return false;
    }
    const char *fault = setting->offset == FIELD(token) ? secret_fault(value, strlen(value)) : NULL;
    if (fault) {
        snprintf(error, error_bytes, "%s: %s", setting->name, fault);
        return false;
    }
    if (!set_text(field_of(config, setting), setting->size, value)) {
        snprintf(error, error_bytes, "%s: %zu bytes, must be %llu..%zu bytes", setting->name,
                 strlen(value), (unsigned long long)setting->min, setting->size - 1);
        return false;
    }
    forget_other_token(config, setting, from_file);
    return true;
}

bool config_set(struct config *config, const char *name, const char *value, bool from_file,
                char *error, size_t error_bytes)
{
    const struct setting *setting = find_setting(name);
    if (!setting) {
        return no_such_setting(name, error, error_bytes);
    }
    int word;
    const char *const *words;
    switch (setting->kind) {
    case KIND_TEXT:
    case KIND_ADDRESS:
        return set_value(config, setting, value, from_file, error, error_bytes);
    case KIND_FLAG:
        return set_flag(field_of(config, setting), setting, value, error, error_bytes);
    case KIND_LISTEN:
        return set_listen(config, value, from_file, error, error_bytes);
    case KIND_WAL_IO:
        words = wal_io_words;
        word = word_index(words, value);
        config->wal_io = word < 0 ? config->wal_io : (enum storage_mode)word;
        break;
    case KIND_LEVEL:
        words = level_words;
        word = word_index(words, value);
        config->diag_level = word < 0 ? config->diag_level : (enum diag_level)word;
        break;
    default:
        return set_number(config, setting, value, error, error_bytes);
    }
    if (word < 0) {
        refuse_word(words, name, value, error, error_bytes);
    }
    return word >= 0;
}

void config_init(struct config *config)
{
    *config = (struct config){.wal_io = STORAGE_AUTO, .diag_level = DIAG_INFO};
    for (size_t i = 0; i < SETTING_COUNT; i++) {
        const struct setting *setting = &settings[i];
        if (setting->kind == KIND_TEXT || setting->kind == KIND_ADDRESS) {
            set_text(field_of(config, setting), setting->size, setting->initial_text);
        } else if (setting->max > 0) {
            memcpy(field_of(config, setting), &setting->initial, sizeof setting->initial);
        }
    }
}

bool config_read_token(struct config *config, char *error, size_t error_bytes)
{
    if (config->token_file[0] == '\0') {
        return true;
    }
    if (config->token[0] != '\0') {
        snprintf(error, error_bytes, "token-file: token is set as well: one of them is enough");
        return false;
    }
    char reason[CONFIG_TEXT_BYTES + 128];
    bool fine = secret_read(config->token_file, config->token, reason, sizeof reason);
    if (!fine) {
        snprintf(error, error_bytes, "token-file: %s", reason);
    }
    return fine;
}

/* ---- Addresses ---- */

#define TCP_DEFAULT "tcp://127.0.0.1:7411"

static void add_address(struct config_addresses *addresses, const char *setting, const char *url)
{
    addresses->settings[addresses->count] = setting;
    addresses->urls[addresses->count++] = url;
}

void config_addresses(const struct config *config, struct config_addresses *addresses)
{
    addresses->count = 0;
    for (unsigned i = 0; i < config->listen_count; i++) {
        add_address(addresses, "listen", config->listen[i]);
    }
    if (config->listen_count == 0) {
        snprintf(addresses->ipc, sizeof addresses->ipc, "ipc://%s/holdfast.sock", config->data);
        add_address(addresses, "listen", TCP_DEFAULT);
        add_address(addresses, "data", addresses->ipc);
    }
    addresses->listen_count = addresses->count;
    if (config->stream[0] != '\0') {
        add_address(addresses, "stream", config->stream);
    }
    if (config->stream_fetch[0] != '\0') {
        add_address(addresses, "stream-fetch", config->stream_fetch);
    }
}

/* Subscribers can't carry a token. */
static bool check_stream(const struct config *config, const struct address *stream, char *error,
                         size_t error_bytes)
{
    bool token = config->token[0] != '\0' || config->token_file[0] != '\0';
    if (token && !address_is_local(stream)) {
        snprintf(error, error_bytes,
                 "stream: \"%.*s\": with token set it must be a loopback address (127.0.0.1, ::1, "
                 "localhost) or an ipc path: subscribers can't carry a token. stream-fetch can be "
                 "anywhere",
                 TEXT_SHOWN, config->stream);
        return false;
    }
    return true;
}

#define NO_TOKEN                                                                                   \
    "it can be reached from other machines, and no token is asked for: set token-file, or listen " \
    "on a loopback address (127.0.0.1, [::1], localhost) or an ipc path, or let everybody in "     \
    "with "                                                                                        \
    "insecure"

/* Why an address is refused beside those before it; NULL: it is not. reason: CONFIG_TEXT_BYTES. */
static const char *address_fault(const struct config *config, const struct config_addresses *all,
                                 const struct address *parsed, unsigned at, char *reason)
{
    CHECK(at < all->count);
    bool token = config->token[0] != '\0' || config->token_file[0] != '\0';
    for (unsigned other = 0; other < at; other++) {
        if (address_same(&parsed[other], &parsed[at])) {
            snprintf(reason, CONFIG_TEXT_BYTES, "%s has %.*s, and both can't be had",
                     all->settings[other], TEXT_SHOWN, all->urls[other]);
            return reason;
        }
    }
    return token || config->insecure || address_is_local(&parsed[at]) ? NULL : NO_TOKEN;
}

static bool check_addresses(struct config *config, char *error, size_t error_bytes)
{
    struct config_addresses all;
    struct address parsed[CONFIG_LISTEN_MAX + 2];
    char reason[CONFIG_TEXT_BYTES];
    bool *refused = &config->address_refused;
    config_addresses(config, &all);
    for (unsigned i = 0; i < all.count; i++) {
        const char *setting = all.settings[i];
        if (!address_parse(all.urls[i], ADDRESS_LISTEN, &parsed[i], reason)) {
            /* The others were read when they were set: this is the default, inside of data. */
            size_t used = strlen(reason);
            snprintf(reason + used, sizeof reason - used,
                     "; choose a shorter path, or name addresses with listen");
            return refuse_address(refused, setting, all.urls[i], reason, error, error_bytes);
        }
        if (strcmp(setting, "stream") == 0 &&
            !check_stream(config, &parsed[i], error, error_bytes)) {
            return false;
        }
        const char *fault = address_fault(config, &all, parsed, i, reason);
        if (fault) {
            return refuse_address(refused, setting, all.urls[i], fault, error, error_bytes);
        }
    }
    return true;
}

bool config_check(struct config *config, char *error, size_t error_bytes)
{
    char texts[2][UNITS_TEXT_BYTES];
    if (config->hold_ms > config->hold_ms_max) {
        snprintf(error, error_bytes, "hold-ms: %s, greater than hold-ms-max, %s",
                 number_text(KIND_DURATION, config->hold_ms, texts[0]),
                 number_text(KIND_DURATION, config->hold_ms_max, texts[1]));
        return false;
    }
    if (config->wal_bytes_max > 0 && config->wal_bytes_max < 4 * config->wal_segment_bytes) {
        snprintf(error, error_bytes,
                 "wal-bytes-max: %s, must be 0, or at least four times wal-segment-bytes, %s",
                 number_text(KIND_BYTES, config->wal_bytes_max, texts[0]),
                 number_text(KIND_BYTES, config->wal_segment_bytes, texts[1]));
        return false;
    }
    if (config->wal_segment_bytes % WAL_PAGE_BYTES != 0) {
        snprintf(error, error_bytes, "wal-segment-bytes: %s, must be a multiple of %u",
                 number_text(KIND_BYTES, config->wal_segment_bytes, texts[0]), WAL_PAGE_BYTES);
        return false;
    }
    return check_addresses(config, error, error_bytes);
}

unsigned config_setting_count(void)
{
    return SETTING_COUNT;
}

struct config_setting config_setting(unsigned at)
{
    CHECK(at < SETTING_COUNT);
    const struct setting *setting = &settings[at];
    struct config_setting shown = {setting->name, setting->argument, setting->help, ""};
    char number[UNITS_TEXT_BYTES];
    const char *initial = setting->initial_text
                              ? setting->initial_text
                              : number_text(setting->kind, setting->initial, number);
    snprintf(shown.initial, sizeof shown.initial, "%s", initial[0] ? initial : "none");
    return shown;
}

struct engine_options config_engine(const struct config *config)
{
    CHECK(config->items_max <= ITEMS_MAX);
    CHECK(config->hold_ms <= UINT32_MAX);
    return (struct engine_options){
        .inventory =
            {
                .items_max = (uint32_t)config->items_max,
                .orders_max = config->orders_max,
                .hold_ms_default = (uint32_t)config->hold_ms,
                .hold_ms_max = (uint32_t)config->hold_ms_max,
                .orders_ready = config->orders_ready,
                .buyers_max = config->buyers_max,
            },
        .wal =
            {
                .segment_bytes = config->wal_segment_bytes,
                .spare_segments = (uint32_t)config->wal_spare_segments,
                .keep_bytes = config->wal_bytes_max,
                .in_flight_max = 1,
                .digest_every_bytes = WAL_DIGEST_EVERY_BYTES,
            },
        .retain_ended_ms = config->retain_ended_ms,
        .trust_clock = config->trust_clock,
        .wal_bytes_max = config->wal_bytes_max,
        .checkpoint_memory = config->checkpoint_memory,
        .recovery_threads = (unsigned)config->recovery_threads,
        .token = config->token,
    };
}
