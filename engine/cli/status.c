/* status.c - `holdfast status`: how an engine is doing.
 *
 * Threads: the main thread. */
#include <inttypes.h>
#include <stdio.h>

#include "cli/commands.h"
#include "cli/connect.h"
#include "cli/print.h"
#include "cli/values.h"

static struct connection connection;

static const struct option_spec options[] = {CONNECTION_OPTIONS(connection)};

static const struct command_spec spec = {
    .name = "status",
    .arguments = "",
    .help = "Shows how an engine is doing: its version and state, what carries the log's writes,\n"
            "and how much it knows.\n",
    .options = options,
    .option_count = sizeof options / sizeof *options,
};

static void show(const struct hf_engine_status *status)
{
    char uptime[DURATION_TEXT_BYTES];
    duration_text(status->uptime_ms, uptime);
    printf("version       ");
    print_safe(stdout, status->version);
    printf("\nstate         ");
    print_safe(stdout, status->state);
    printf("\nlog written   with ");
    print_safe(stdout, status->wal_io);
    printf("\ndurable LSN   %" PRIu64 "\n", status->commit_lsn);
    printf("up for        %s\n", uptime);
    printf("items         %" PRIu64 "\n", status->items);
    printf("orders held   %" PRIu64 "\n", status->orders_held);
    printf("orders known  %" PRIu64 "\n", status->orders_known);
    printf("buyers        %" PRIu64 " counted for limits\n", status->buyers);
}

static void show_json(const struct hf_engine_status *status)
{
    print_json(json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I}", "version",
                         status->version, "state", status->state, "wal_io", status->wal_io,
                         "commit_lsn", (json_int_t)status->commit_lsn, "uptime_ms",
                         (json_int_t)status->uptime_ms, "items", (json_int_t)status->items,
                         "orders_held", (json_int_t)status->orders_held, "orders_known",
                         (json_int_t)status->orders_known, "buyers", (json_int_t)status->buyers));
}

int command_status(int argc, char **argv)
{
    struct args args;
    struct hf_client *client;
    int code = args_parse(&spec, argc, argv, &args);
    if (code == ARGS_GO_ON) {
        code = connect_open(&spec, &connection, &client);
    }
    if (code != ARGS_GO_ON) {
        return code;
    }
    struct hf_engine_status status;
    enum hf_status result = hf_get_status(client, &status);
    if (result != HF_OK) {
        code = connect_failed(result, NULL);
    } else {
        code = EXIT_DONE;
        connection.json ? show_json(&status) : show(&status);
    }
    hf_client_close(client);
    return code;
}
