/* commands.h - the subcommands (subcommand.h), and what each exits with.
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

int cmd_serve(int argc, char **argv);
int cmd_stock(int argc, char **argv);
int cmd_order(int argc, char **argv);
int cmd_wal(int argc, char **argv);
int cmd_status(int argc, char **argv);
int cmd_reconcile(int argc, char **argv);

/* The words below `stock`. */
int cmd_stock_import(int argc, char **argv);
int cmd_stock_list(int argc, char **argv);
int cmd_stock_show(int argc, char **argv);
int cmd_stock_adjust(int argc, char **argv);
int cmd_stock_move(int argc, char **argv);
int cmd_stock_define(int argc, char **argv);
int cmd_stock_open(int argc, char **argv);
int cmd_stock_pause(int argc, char **argv);
int cmd_stock_resume(int argc, char **argv);
int cmd_stock_close(int argc, char **argv);

/* The words below `order`. */
int cmd_order_reserve(int argc, char **argv);
int cmd_order_commit(int argc, char **argv);
int cmd_order_release(int argc, char **argv);
int cmd_order_extend(int argc, char **argv);
int cmd_order_return(int argc, char **argv);
int cmd_order_show(int argc, char **argv);
int cmd_order_list(int argc, char **argv);

/* The words below `wal`. */
int cmd_wal_verify(int argc, char **argv);
int cmd_wal_dump(int argc, char **argv);
int cmd_wal_stats(int argc, char **argv);
int cmd_wal_checkpoint(int argc, char **argv);
int cmd_wal_repair(int argc, char **argv);
int cmd_wal_replay(int argc, char **argv);
int cmd_wal_why(int argc, char **argv);
int cmd_wal_tail(int argc, char **argv);

#endif
