/* order.c - `holdfast order`: finds the word below it.
 *
 * Threads: the main thread. */
#include "cli/commands.h"
#include "cli/subcommand.h"

static const struct subcommand commands[] = {
    {"reserve", cmd_order_reserve, "hold units for a buyer: all of an order, or nothing", NULL},
    {"commit", cmd_order_commit, "sell the units that an order holds", NULL},
    {"release", cmd_order_release, "release the units that an order holds", NULL},
    {"extend", cmd_order_extend, "move a held order's deadline", NULL},
    {"return", cmd_order_return, "take sold units back into stock", NULL},
    {"show", cmd_order_show, "show an order", NULL},
    {"list", cmd_order_list, "list orders: of a buyer, of a SKU, in a state", NULL},
};

static const struct subcommand_group group = {
    .name = "holdfast order",
    .summary = "Reserves, commits, releases, extends, returns, shows and lists orders.",
    .subcommands = commands,
    .count = sizeof commands / sizeof *commands,
};

int cmd_order(int argc, char **argv)
{
    return run_subcommand(&group, argc, argv);
}
