/* connect.c - what the commands that talk to an engine have in common.
 *
 * Threads: the main thread. */
#include "cli/connect.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "cli/print.h"

static const char *opened_url =
    ""; /* of the last connect_open(): named when nobody answers there */

int connect_open(const struct command_spec *command, const struct connection *connection,
                 struct hf_client **client)
{
    const char *environment = getenv("HOLDFAST_URL");
    const char *origin = connection->url ? "option --url" : "environment variable HOLDFAST_URL";
    const char *url = connection->url                         ? connection->url
                      : environment && environment[0] != '\0' ? environment
                                                              : URL_DEFAULT;
    if (connection->token && strlen(connection->token) > TOKEN_BYTES_MAX) {
        return args_wrong(command, "option --token: longer than %u bytes", TOKEN_BYTES_MAX);
    }
    opened_url = url;
    struct hf_options options = {.timeout_ms = connection->timeout_ms, .token = connection->token};
    enum hf_status status = hf_client_open(client, url, &options);
    if (status == HF_INVALID) {
        return args_wrong(command, "%s: '%s' is not the address of an engine: %s", origin, url,
                          hf_last_message());
    }
    if (status != HF_OK) {
        fprintf(stderr, "%s: %s\n", url, hf_status_text(status));
        return exit_code_of(status);
    }
    return ARGS_GO_ON;
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
 * in words of the wire. The subject says that better; of the place only the field's own name is
 * kept, and only where it says what is malformed. */
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

int connect_failed(enum hf_status status, const char *subject)
{
    const char *message = hf_last_message();
    if (exit_code_of(status) == EXIT_NOT_REACHABLE) {
        subject = opened_url;
    }
    fprintf(stderr, "%s: ", hf_status_name(status));
    if (subject) {
        print_safe(stderr, subject);
        fputs(": ", stderr);
    }
    print_safe(stderr,
               message[0] != '\0' ? without_place(status, message) : hf_status_text(status));
    fputc('\n', stderr);
    return exit_code_of(status);
}
