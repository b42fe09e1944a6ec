/* connect.c - what the commands that talk to an engine have in common.
 *
 * Threads: the main thread. */
#include "cli/connect.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/secret.h"
#include "cli/print.h"
#include "cli/values.h"

#define TIMEOUT_MS_DEFAULT 5000u /* the client's */

/* Of the last connect_open(), for the message when no engine answers there. */
static struct {
    const char *url;
    uint32_t timeout_ms;
    uint64_t at_ms;
    bool json;
} opened = {.url = ""};

static uint64_t now_ms(void)
{
    return clock_monotonic_ns(clock_real()) / 1000000u;
}

/* An environment variable's value; NULL: not set, or empty. */
static const char *from_environment(const char *name)
{
    const char *value = getenv(name);
    return value && value[0] != '\0' ? value : NULL;
}

/* The token from the options, else from the environment; NULL if neither has one. ARGS_GO_ON, or
 * the exit code. */
static int choose_token(const struct command_spec *command, const struct connection *connection,
                        const char **token)
{
    static char of_file[TOKEN_BYTES_MAX + 1];
    char reason[1024];
    *token = connection->token ? connection->token : from_environment("HOLDFAST_TOKEN");
    if (connection->token_file) {
        if (connection->token) {
            return args_wrong(command, "options --token and --token-file: give only one of them");
        }
        if (!secret_read(connection->token_file, of_file, reason, sizeof reason)) {
            return args_wrong(command, "option --token-file: %s", reason);
        }
        *token = of_file;
    }
    if (*token && strlen(*token) > TOKEN_BYTES_MAX) {
        return args_wrong(command, "%s: longer than %u bytes",
                          connection->token ? "option --token"
                                            : "environment variable HOLDFAST_TOKEN",
                          TOKEN_BYTES_MAX);
    }
    return ARGS_GO_ON;
}

int connect_open(const struct command_spec *command, const struct connection *connection,
                 struct hf_client **client)
{
    const char *environment = from_environment("HOLDFAST_URL");
    const char *origin = connection->url ? "option --url" : "environment variable HOLDFAST_URL";
    const char *url = connection->url ? connection->url : environment ? environment : URL_DEFAULT;
    const char *token;
    int wrong = choose_token(command, connection, &token);
    if (wrong != ARGS_GO_ON) {
        return wrong;
    }
    if (connection->timeout_given && connection->timeout_ms == 0) {
        return args_wrong(command, "option --timeout: 0 is too short: it must be at least 1 ms");
    }
    opened.url = url;
    opened.timeout_ms = connection->timeout_ms ? connection->timeout_ms : TIMEOUT_MS_DEFAULT;
    opened.json = connection->json;
    opened.at_ms = now_ms();
    bool limited = connection->timeout_given || !connection->step_by_step;
    struct hf_options options = {.timeout_ms = opened.timeout_ms,
                                 .token = token,
                                 .total_timeout_ms = limited ? opened.timeout_ms : 0};
    enum hf_status status = hf_client_open(client, url, &options);
    if (status == HF_INVALID) {
        const char *reason = hf_last_message();
        reason += strncmp(reason, "url: ", 5) == 0 ? 5 : 0;
        return args_wrong(command, "%s: '%s': %s", origin, url, reason);
    }
    if (status != HF_OK) {
        return connect_failed(status, url);
    }
    return ARGS_GO_ON;
}

uint64_t connect_engine_ms(struct hf_client *client)
{
    struct hf_engine_status status;
    if (hf_get_status(client, &status) == HF_OK && status.wall_ms != 0) {
        return status.wall_ms;
    }
    return clock_unix_ms(clock_real());
}

int exit_code_of(enum hf_status status)
{
    switch (status) {
    case HF_OK:
        return EXIT_DONE;
    case HF_UNREACHABLE:
    case HF_TIMED_OUT:
        return EXIT_NOT_REACHABLE;
    default:
        return EXIT_NO;
    }
}

/* An engine's message begins with the field's place, "reserve.orders[0].lines[1].qty: must be ...",
 * in the words of the protocol. The subject already names the place in plain words, so only the
 * name of the field is kept, and only for a malformed value. */
static const char *without_place(enum hf_status status, const char *message)
{
    size_t place = strspn(message, "abcdefghijklmnopqrstuvwxyz_0123456789.[]");
    if (message[place] != ':' || message[place + 1] != ' ') {
        return message;
    }
    const char *field = message + place;
    while (status == HF_INVALID && field > message && field[-1] != '.' && field[-1] != ']') {
        field--;
    }
    return *field == ':' ? field + 2 : field;
}

/* Explains the status in the words of this command line. False: the engine's message is better. */
static bool own_words(enum hf_status status, char *text, size_t bytes)
{
    char waited[DURATION_TEXT_BYTES];
    if (opened.timeout_ms % 1000 == 0) {
        duration_text(opened.timeout_ms, waited);
    } else {
        snprintf(waited, sizeof waited, "%" PRIu32 " ms", opened.timeout_ms);
    }
    switch (status) {
    case HF_UNREACHABLE:
        snprintf(text, bytes, "%s", hf_last_message());
        if (now_ms() - opened.at_ms >= opened.timeout_ms) {
            snprintf(text + strlen(text), bytes - strlen(text), "; waited for %s", waited);
        }
        return true;
    case HF_TIMED_OUT:
        snprintf(text, bytes,
                 "no reply from %s within %s; the outcome is unknown; a retry with the same ID is "
                 "safe",
                 opened.url, waited);
        return true;
    case HF_UNAUTHORIZED:
        snprintf(text, bytes,
                 "the token is missing or wrong: give it with --token-file, or in HOLDFAST_TOKEN");
        return true;
    default:
        return false;
    }
}

void connect_reason(enum hf_status status, const char *subject, char text[CONNECT_REASON_BYTES])
{
    const char *message = hf_last_message();
    if (own_words(status, text, CONNECT_REASON_BYTES)) {
        return;
    }
    snprintf(text, CONNECT_REASON_BYTES, "%s%s%s", subject ? subject : "", subject ? ": " : "",
             message[0] != '\0' ? without_place(status, message) : hf_status_text(status));
}

int connect_say(enum hf_status status, const char *text)
{
    fprintf(stderr, "%s: ", hf_status_name(status));
    print_safe(stderr, text);
    fputc('\n', stderr);
    return exit_code_of(status);
}

int connect_failed(enum hf_status status, const char *subject)
{
    char text[CONNECT_REASON_BYTES];
    connect_reason(status, subject, text);
    if (opened.json) {
        print_json(error_object(status, text));
    }
    return connect_say(status, text);
}
