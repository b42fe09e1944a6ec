/* config.h - the settings of an engine: from options, or from a file with the same names.
 *
 * One table (config.c) holds each setting's name, range, unit, default and help; options, file and
 * help text follow from it. Threads: one. */
#ifndef SERVER_CONFIG_H
#define SERVER_CONFIG_H

#include <stdbool.h>
#include <stddef.h>

#include "base/diag.h"
#include "base/limits.h"
#include "io/storage.h"
#include "io/storage_open.h"
#include "server/engine.h"

#define CONFIG_LISTEN_MAX    16u
#define CONFIG_TEXT_BYTES    1024u
#define CONFIG_INITIAL_BYTES 64u

struct config {
    char data[CONFIG_TEXT_BYTES];
    char listen[CONFIG_LISTEN_MAX][CONFIG_TEXT_BYTES];
    unsigned listen_count; /* 0: the defaults in docs/operations.md */
    char token[TOKEN_BYTES_MAX + 1];
    char token_file[CONFIG_TEXT_BYTES]; /* "": none */
    bool insecure;                      /* listens beyond loopback without a token */
    enum storage_mode wal_io;
    enum diag_level diag_level;
    uint64_t items_max;
    uint64_t orders_max;
    uint64_t orders_ready;
    uint64_t buyers_max;
    uint64_t retain_ended_ms;
    bool trust_clock;
    uint64_t wal_bytes_max;
    uint64_t checkpoint_memory;
    uint64_t recovery_threads;
    char archive_dir[CONFIG_TEXT_BYTES];
    char stream[CONFIG_TEXT_BYTES];       /* URL of the change stream; "": none */
    char stream_fetch[CONFIG_TEXT_BYTES]; /* URL to ask for what was missed; "": none */
    uint64_t hold_ms;
    uint64_t hold_ms_max;
    uint64_t wal_segment_bytes;
    uint64_t wal_spare_segments;
    uint64_t contexts;
    uint64_t queue_target_ms;
    uint64_t queue_interval_ms;
    uint64_t connections_per_address; /* 0: no limit */
    bool listen_from_file;            /* the command line's --listen replaces the file's */
    bool token_from_file;             /* the same of token and token-file */
    bool address_refused; /* what was wrong last was an address: not usage, but that it can't start
                           */
};

/* All defaults. */
void config_init(struct config *config);

/* Sets one setting from text, as an option of that name would. False: *error (error_bytes) names
 * the setting and the reason. `from_file` tells the file's values from the command line's. */
bool config_set(struct config *config, const char *name, const char *value, bool from_file,
                char *error, size_t error_bytes);

/* Reads an INI file whose keys are the settings' names, in no section or in [holdfast]
 * (config_file.c). False: *error names the file, the line and the reason. */
bool config_read(struct config *config, const char *path, char *error, size_t error_bytes);

/* Reads the token from its file, if there is one. Call once all is set. False: *error has the
 * reason. */
bool config_read_token(struct config *config, char *error, size_t error_bytes);

/* Checks what depends on more than one setting. */
bool config_check(struct config *config, char *error, size_t error_bytes);

/* All addresses that an engine listens on, the defaults too, with the settings that name them. */
struct config_addresses {
    unsigned count;
    const char *settings[CONFIG_LISTEN_MAX + 2];
    const char *urls[CONFIG_LISTEN_MAX + 2]; /* the config's, or the defaults' below */
    unsigned listen_count;                   /* the first so many are the engine's own */
    char ipc[CONFIG_TEXT_BYTES + 32];
};
void config_addresses(const struct config *config, struct config_addresses *addresses);

/* A setting, as help shows it. */
struct config_setting {
    const char *name;
    const char *argument; /* what its value is called; NULL: a flag, which may stand alone */
    const char *help;
    char initial[CONFIG_INITIAL_BYTES]; /* its default */
};

unsigned config_setting_count(void);
struct config_setting config_setting(unsigned at); /* below the count */

/* The engine's part of it. */
struct engine_options config_engine(const struct config *config);

#endif
