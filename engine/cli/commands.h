/* commands.h - the subcommands, and what each exits with.
 *
 * A command gets its own part of the command line: argv[0] is the subcommand's name. It returns the
 * process's exit code.
 *
 * Threads: the main thread. */
#ifndef CLI_COMMANDS_H
#define CLI_COMMANDS_H

/* Exit codes, the same for every subcommand. */
enum exit_code {
    EXIT_DONE = 0,
    EXIT_NO = 1,            /* it ran, and the answer is no: refused, not found, damaged */
    EXIT_USAGE = 2,         /* wrong usage; the message names the option or argument */
    EXIT_NOT_REACHABLE = 3, /* the engine did not answer */
};

int command_serve(int argc, char **argv);
int command_stock(int argc, char **argv);
int command_order(int argc, char **argv);
int command_wal(int argc, char **argv);
int command_status(int argc, char **argv);
int command_reconcile(int argc, char **argv);

/* One word below a subcommand, as `list` of `stock`. */
struct subcommand {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *summary;
};

/* Runs argv[1] as one of `count` subcommands of `command`; also answers help. */
int run_subcommand(const char *command, const char *summary, const struct subcommand *subcommands,
                   unsigned count, int argc, char **argv);

/* The words below `stock`. */
int stock_import(int argc, char **argv);
int stock_list(int argc, char **argv);
int stock_show(int argc, char **argv);
int stock_adjust(int argc, char **argv);
int stock_move(int argc, char **argv);
int stock_define_rules(int argc, char **argv);
int stock_open_sale(int argc, char **argv);
int stock_pause_sale(int argc, char **argv);
int stock_resume_sale(int argc, char **argv);
int stock_close_sale(int argc, char **argv);

/* The words below `wal`. */
int wal_verify(int argc, char **argv);
int wal_dump(int argc, char **argv);
int wal_stats_command(int argc, char **argv); /* the log has a wal_stats() and a wal_repair() */
int wal_checkpoint(int argc, char **argv);
int wal_repair_command(int argc, char **argv);
int wal_replay(int argc, char **argv);
int wal_why(int argc, char **argv);
int wal_tail(int argc, char **argv);

#endif
