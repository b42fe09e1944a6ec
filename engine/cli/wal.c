/* wal.c - `holdfast wal`: finds the word below it.
 *
 * Threads: the main thread. */
#include "cli/commands.h"
#include "cli/subcommand.h"

static const struct subcommand commands[] = {
    {"verify", cmd_wal_verify, "check every byte of a log", NULL},
    {"dump", cmd_wal_dump, "print a log's records", NULL},
    {"stats", cmd_wal_stats, "count what a log holds, by SKU, time and type", NULL},
    {"checkpoint", cmd_wal_checkpoint, "make a checkpoint while no engine runs", NULL},
    {"repair", cmd_wal_repair, "make a damaged log whole again", NULL},
    {"replay", cmd_wal_replay, "rebuild the state as of any moment; build a data directory of it",
     NULL},
    {"why", cmd_wal_why, "show how an item's stock came to be what it is", NULL},
    {"tail", cmd_wal_tail, "follow a log's records as they become durable", NULL},
};

static const struct subcommand_group group = {
    .name = "holdfast wal",
    .summary =
        "Reads and checks a write-ahead log, also beside its engine; repairs it while none runs.",
    .subcommands = commands,
    .count = sizeof commands / sizeof *commands,
};

int cmd_wal(int argc, char **argv)
{
    return run_subcommand(&group, argc, argv);
}
