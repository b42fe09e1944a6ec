/* stock.c - `holdfast stock`: finds the word below it.
 *
 * Threads: the main thread. */
#include "cli/commands.h"
#include "cli/subcommand.h"

static const struct subcommand commands[] = {
    {"import", cmd_stock_import, "define items and set their stock from a CSV file"},
    {"list", cmd_stock_list, "list all items' stock"},
    {"show", cmd_stock_show, "show one SKU's rules, and its stock in all its pools"},
    {"adjust", cmd_stock_adjust, "change an item's stock"},
    {"move", cmd_stock_move, "move units between two pools of a SKU"},
    {"define", cmd_stock_define, "make a SKU or an item, or change its sale rules"},
    {"open", cmd_stock_open, "open a SKU's sale, now or at a time"},
    {"close", cmd_stock_close, "close a SKU's sale, now or at a time"},
    {"pause", cmd_stock_pause, "pause a SKU's sale"},
    {"resume", cmd_stock_resume, "go on with a SKU's sale that is paused"},
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
