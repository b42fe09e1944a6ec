/* durable_check.c - a library to preload into a tool: when it ends, it writes to the file that
 * DURABLE_REPORT names what of the files below DURABLE_BELOW was changed and not made durable
 * (lib/kernel_log.h). Nothing is really synced meanwhile. Files of 64 MiB at most. Threads: any;
 * the hooks are serialized. */
#include <stdio.h>
#include <stdlib.h>

#include "lib/kernel_log.h"

__attribute__((constructor)) static void durable_check_init(void)
{
    const char *below = getenv("DURABLE_BELOW");
    if (!below || !getenv("DURABLE_REPORT")) {
        fprintf(stderr, "durable_check: DURABLE_BELOW and DURABLE_REPORT are not set\n");
        abort();
    }
    kernel_log_start(below);
    kernel_log_forget_calls();
}

__attribute__((destructor)) static void durable_check_end(void)
{
    FILE *report = fopen(getenv("DURABLE_REPORT"), "w");
    if (report) {
        kernel_log_report(report);
        fclose(report);
    }
}
