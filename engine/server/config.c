/* config.c - the table of settings, and reading it from options and files (libinih). */
#include "server/config.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/limits.h"

enum kind {
    KIND_TEXT,
    KIND_LISTEN,
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
    {"token", "TEXT", KIND_TEXT, TEXT(token), 0, 0, 0, "", "requests must carry this token"},
    {"wal-io", "WORD", KIND_WAL_IO, FIELD(wal_io), 0, 0, 0, 0, "auto",
     "how the log is written: auto, uring or sync"},
    {"log-level", "WORD", KIND_LEVEL, FIELD(log_level), 0, 0, 0, 0, "info",
     "debug, info, warn or error"},
    {"items-max", "N", KIND_NUMBER, FIELD(items_max), 0, 1, ITEMS_MAX, ITEMS_MAX_DEFAULT, NULL,
     "items (SKU x pool) that may be defined"},
    {"orders-max", "N", KIND_NUMBER, FIELD(orders_max), 0, 1, ORDERS_MAX, ORDERS_MAX_DEFAULT, NULL,
     "orders that are remembered, ended ones too"},
    {"orders-ready", "N", KIND_NUMBER, FIELD(orders_ready), 0, 0, ORDERS_MAX, ORDERS_READY_DEFAULT,
     NULL, "orders whose memory is taken at start, not in the rush"},
    {"hold-ms", "DURATION", KIND_DURATION, FIELD(hold_ms), 0, 1, UINT32_MAX, HOLD_MS_DEFAULT, NULL,
     "how long units are held when nobody says"},
    {"hold-ms-max", "DURATION", KIND_DURATION, FIELD(hold_ms_max), 0, 1, UINT32_MAX,
     HOLD_MS_MAX_DEFAULT, NULL, "the longest hold when a SKU's rules say nothing"},
    {"buyers-max", "N", KIND_NUMBER, FIELD(buyers_max), 0, 1, ORDERS_MAX, BUYERS_MAX_DEFAULT, NULL,
     "buyers counted at once, one for each limited SKU"},
    {"retain-ended", "DURATION", KIND_DURATION, FIELD(retain_ended_ms), 0, 0, UINT32_MAX,
     RETAIN_ENDED_MS_DEFAULT, NULL, "how long ended orders are remembered; 0: for ever"},
    {"wal-bytes-max", "SIZE", KIND_BYTES, FIELD(wal_bytes_max), 0, 0, GIB(1024),
     WAL_BYTES_MAX_DEFAULT, NULL,
     "what the log's files should take: checkpoints see to it; 0: no checkpoints"},
    {"checkpoint-memory", "SIZE", KIND_BYTES, FIELD(checkpoint_memory), 0, CHECKPOINT_MEMORY_MIN,
     GIB(64), CHECKPOINT_MEMORY_DEFAULT, NULL, "memory that making a checkpoint takes, about"},
    {"archive-dir", "DIR", KIND_TEXT, TEXT(archive_dir), 0, 0, 0, "",
     "directory that gets each log file before it is used anew"},
    {"stream", "URL", KIND_TEXT, TEXT(stream), 0, 0, 0, "",
     "address (tcp://, ipc://) that publishes each change once it is durable; with a token: "
     "loopback or ipc"},
    {"stream-fetch", "URL", KIND_TEXT, TEXT(stream_fetch), 0, 0, 0, "",
     "address that answers which changes came behind an LSN, and takes the token"},
    {"recovery-threads", "N", KIND_NUMBER, FIELD(recovery_threads), 0, 0, RECOVERY_THREADS_MAX, 0,
     NULL, "threads that replay the log; 0: by the number of processors"},
    {"wal-segment-bytes", "SIZE", KIND_BYTES, FIELD(wal_segment_bytes), 0, WAL_SEGMENT_BYTES_MIN,
     WAL_SEGMENT_BYTES_MAX, WAL_SEGMENT_BYTES_DEFAULT, NULL, "size of a log file"},
    {"wal-spare-segments", "N", KIND_NUMBER, FIELD(wal_spare_segments), 0, 1,
     WAL_SPARE_SEGMENTS_MAX, WAL_SPARE_SEGMENTS_DEFAULT, NULL, "log files prepared ahead of use"},
    {"contexts", "N", KIND_NUMBER, FIELD(contexts), 0, 1, SERVER_CONTEXTS_MAX,
     SERVER_CONTEXTS_DEFAULT, NULL, "requests in hand at once"},
};
#define SETTING_COUNT (sizeof settings / sizeof settings[0])

static void *field_of(struct config *config, const struct setting *setting)
{
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
    size_t len = strlen(value);
    if (len >= to_bytes) {
        return false;
    }
    memcpy(to, value, len + 1);
    return true;
}

/* Multipliers of a number's last letters: binary for bytes, in any letter case; ms for durations.
 */
static bool suffix_factor(enum kind kind, const char *suffix, uint64_t *factor)
{
    static const struct {
        enum kind kind;
        const char *suffix;
        uint64_t factor;
    } factors[] = {
        {KIND_BYTES, "K", 1u << 10},    {KIND_BYTES, "KiB", 1u << 10},
        {KIND_BYTES, "M", 1u << 20},    {KIND_BYTES, "MiB", 1u << 20},
        {KIND_BYTES, "G", 1u << 30},    {KIND_BYTES, "GiB", 1u << 30},
        {KIND_DURATION, "ms", 1},       {KIND_DURATION, "s", 1000},
        {KIND_DURATION, "m", 60000},    {KIND_DURATION, "h", 3600000},
        {KIND_DURATION, "d", 86400000},
    };
    *factor = 1;
    if (*suffix == '\0') {
        return true;
    }
    for (size_t i = 0; i < sizeof factors / sizeof factors[0]; i++) {
        if (factors[i].kind == kind &&
            (kind == KIND_BYTES ? strcasecmp : strcmp)(factors[i].suffix, suffix) == 0) {
            *factor = factors[i].factor;
            return true;
        }
    }
    return false;
}

static bool parse_number(enum kind kind, const char *text, uint64_t *value)
{
    if (!isdigit((unsigned char)text[0])) {
        return false;
    }
    char *end;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    uint64_t factor;
    if (errno != 0 || !suffix_factor(kind, end, &factor) || number > UINT64_MAX / factor) {
        return false;
    }
    *value = number * factor;
    return true;
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

static const char *const wal_io_words[] = {"auto", "uring", "sync", NULL};
static const char *const level_words[] = {"debug", "info", "warn", "error", NULL};

static bool set_listen(struct config *config, const char *value, bool from_file, char *error,
                       size_t error_bytes)
{
    if (!from_file && config->listen_from_file) {
        config->listen_count = 0;
        config->listen_from_file = false;
    }
    if (config->listen_count == CONFIG_LISTEN_MAX) {
        snprintf(error, error_bytes, "listen: more than %u addresses", CONFIG_LISTEN_MAX);
        return false;
    }
    if (strncmp(value, "tcp://", 6) != 0 && strncmp(value, "ipc://", 6) != 0) {
        snprintf(error, error_bytes, "listen: \"%s\" is neither tcp://HOST:PORT nor ipc://PATH",
                 value);
        return false;
    }
    if (!set_text(config->listen[config->listen_count], CONFIG_TEXT_BYTES, value)) {
        snprintf(error, error_bytes, "listen: longer than %u bytes", CONFIG_TEXT_BYTES - 1);
        return false;
    }
    config->listen_count++;
    config->listen_from_file = from_file;
    return true;
}

#define NUMBER_TEXT_BYTES 32u

/* A number as one would write it: 64M, 15m; a number without a unit as it is. */
static const char *number_text(enum kind kind, uint64_t number, char text[NUMBER_TEXT_BYTES])
{
    static const struct {
        enum kind kind;
        const char *suffix;
        uint64_t factor;
    } units[] = {
        {KIND_BYTES, "G", 1u << 30},    {KIND_BYTES, "M", 1u << 20},   {KIND_BYTES, "K", 1u << 10},
        {KIND_DURATION, "d", 86400000}, {KIND_DURATION, "h", 3600000}, {KIND_DURATION, "m", 60000},
        {KIND_DURATION, "s", 1000},     {KIND_DURATION, "ms", 1},
    };
    uint64_t factor = 1;
    const char *suffix = "";
    for (size_t i = 0; number > 0 && suffix[0] == '\0' && i < sizeof units / sizeof units[0]; i++) {
        if (units[i].kind == kind && number % units[i].factor == 0) {
            factor = units[i].factor;
            suffix = units[i].suffix;
        }
    }
    snprintf(text, NUMBER_TEXT_BYTES, "%llu%s", (unsigned long long)(number / factor), suffix);
    return text;
}

static bool set_number(struct config *config, const struct setting *setting, const char *value,
                       char *error, size_t error_bytes)
{
    uint64_t number;
    if (!parse_number(setting->kind, value, &number)) {
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
        char texts[3][NUMBER_TEXT_BYTES];
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

bool config_knows(const char *name)
{
    return find_setting(name) != NULL;
}

bool config_set(struct config *config, const char *name, const char *value, bool from_file,
                char *error, size_t error_bytes)
{
    const struct setting *setting = find_setting(name);
    if (!setting) {
        snprintf(error, error_bytes, "%s: there is no such setting", name);
        return false;
    }
    int word;
    const char *const *words;
    switch (setting->kind) {
    case KIND_TEXT:
        if (!set_text(field_of(config, setting), setting->size, value) ||
            strlen(value) < setting->min) {
            snprintf(error, error_bytes, "%s: must be %llu..%zu bytes", name,
                     (unsigned long long)setting->min, setting->size - 1);
            return false;
        }
        return true;
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
        config->log_level = word < 0 ? config->log_level : (enum log_level)word;
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
    *config = (struct config){.wal_io = STORAGE_AUTO, .log_level = LOG_INFO};
    for (size_t i = 0; i < SETTING_COUNT; i++) {
        const struct setting *setting = &settings[i];
        if (setting->kind == KIND_TEXT) {
            set_text(field_of(config, setting), setting->size, setting->initial_text);
        } else if (setting->max > 0) {
            memcpy(field_of(config, setting), &setting->initial, sizeof setting->initial);
        }
    }
}

struct file_state {
    struct config *config;
    FILE *file;
    int line;         /* the one that was read last, from 1 */
    int section_line; /* the present section's */
    char *error;
    size_t error_bytes;
    int failed_line; /* 0: none. The first error is the one that is told; the parser goes on */
};

/* The parser's source of lines, which counts them as it does. */
static char *next_line(char *text, int bytes, void *context)
{
    struct file_state *state = context;
    char *read = fgets(text, bytes, state->file);
    state->line += read != NULL;
    if (read && read[strspn(read, " \t")] == '[') {
        state->section_line = state->line;
    }
    return read;
}

static int take_line(void *context, const char *section, const char *name, const char *value)
{
    struct file_state *state = context;
    if (state->failed_line != 0) {
        return 0;
    }
    if (section[0] != '\0' && strcmp(section, "holdfast") != 0) {
        snprintf(state->error, state->error_bytes,
                 "there is no section [%s]: settings stand in [holdfast] or in none", section);
        state->failed_line = state->section_line;
    } else if (!config_set(state->config, name, value, true, state->error, state->error_bytes)) {
        state->failed_line = state->line;
    }
    return state->failed_line == 0;
}

bool config_read(struct config *config, const char *path, char *error, size_t error_bytes)
{
    char reason[256];
    struct file_state state = {.config = config, .error = reason, .error_bytes = sizeof reason};
    state.file = fopen(path, "r");
    int line = state.file ? ini_parse_stream(next_line, &state, take_line, &state) : -1;
    if (line < 0 || ferror(state.file)) {
        snprintf(error, error_bytes, "%s: can't be read: %s", path, strerror(errno));
    } else if (state.failed_line != 0 && state.failed_line <= line) {
        snprintf(error, error_bytes, "%s, line %d: %s", path, state.failed_line, reason);
    } else if (line != 0) {
        snprintf(error, error_bytes, "%s, line %d: not of the form NAME = VALUE", path, line);
    }
    bool fine = line == 0 && !ferror(state.file);
    if (state.file) {
        fclose(state.file);
    }
    return fine;
}

/* Whether strangers on the network are kept from an address: an ipc path, or a loopback address as
 * one writes it. Names are not looked up. */
static bool is_local(const char *url)
{
    char host[INET6_ADDRSTRLEN + 2];
    struct in_addr v4;
    struct in6_addr v6;
    if (strncmp(url, "ipc://", 6) == 0) {
        return true;
    }
    const char *colon = strrchr(url, ':');
    if (strncmp(url, "tcp://", 6) != 0 || colon < url + 6 ||
        colon[1 + strspn(colon + 1, "0123456789")] != '\0' ||
        (size_t)(colon - url - 6) >= sizeof host) {
        return false;
    }
    size_t len = (size_t)(colon - url - 6);
    memcpy(host, url + 6, len);
    host[len] = '\0';
    if (len > 2 && host[0] == '[' && host[len - 1] == ']') {
        host[len - 1] = '\0';
        return inet_pton(AF_INET6, host + 1, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
    }
    return strcmp(host, "localhost") == 0 ||
           (inet_pton(AF_INET, host, &v4) == 1 && ntohl(v4.s_addr) >> 24 == IN_LOOPBACKNET);
}

bool config_check(const struct config *config, char *error, size_t error_bytes)
{
    char texts[2][NUMBER_TEXT_BYTES];
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
    if (config->token[0] != '\0' && config->stream[0] != '\0' && !is_local(config->stream)) {
        snprintf(error, error_bytes,
                 "stream: \"%s\": with token set it must be a loopback address (127.0.0.1, ::1, "
                 "localhost) or an ipc path: subscribers can't carry a token. stream-fetch can be "
                 "anywhere",
                 config->stream);
        return false;
    }
    return true;
}

#define HELP_COLUMN 27

void config_print_help(FILE *to)
{
    for (size_t i = 0; i < SETTING_COUNT; i++) {
        const struct setting *setting = &settings[i];
        char initial[NUMBER_TEXT_BYTES];
        const char *shown = setting->initial_text
                                ? setting->initial_text
                                : number_text(setting->kind, setting->initial, initial);
        int used = fprintf(to, "  --%s %s", setting->name, setting->argument);
        fprintf(to, "%*s %s (default: %s)\n", used < HELP_COLUMN ? HELP_COLUMN - used : 0, "",
                setting->help, shown[0] ? shown : "none");
    }
}

struct engine_options config_engine(const struct config *config)
{
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
        .wal_bytes_max = config->wal_bytes_max,
        .checkpoint_memory = config->checkpoint_memory,
        .recovery_threads = (unsigned)config->recovery_threads,
        .token = config->token,
    };
}
