/* stock.c - `holdfast stock`: finds the word below it.
 *
 * Threads: the main thread. */
#include "cli/commands.h"
#include "cli/subcommand.h"

static const struct subcommand commands[] = {
    {"import", cmd_stock_import, "define items and set their stock from a CSV file", NULL},
    {"list", cmd_stock_list, "list all items' stock", NULL},
    {"show", cmd_stock_show, "show one SKU's rules, and its stock in all its pools", NULL},
    {"adjust", cmd_stock_adjust, "change an item's stock", NULL},
    {"move", cmd_stock_move, "move units between two pools of a SKU", NULL},
    {"define", cmd_stock_define, "create an item, or change the rules of its sale", NULL},
    {"open", cmd_stock_open, "open a SKU's sale, now or at a later time", NULL},
    {"close", cmd_stock_close, "close a SKU's sale, now or at a later time", NULL},
    {"pause", cmd_stock_pause, "pause a SKU's sale", NULL},
    {"resume", cmd_stock_resume, "continue a SKU's sale that is paused", NULL},
};

static const struct subcommand_group group = {
    .name = "holdfast stock",
    .summary = "Imports, lists, changes and moves stock; opens, pauses and closes sales.",
    .subcommands = commands,
    .count = sizeof commands / sizeof *commands,
};

int cmd_stock(int argc, char **argv)
{
    return run_subcommand(&group, argc, argv);
}
