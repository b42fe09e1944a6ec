/* fuzz_main.c - runs a fuzz target without libFuzzer: mutated seeds, always the same ones.
 *
 * usage: fuzz_NAME                  an ordinary test, of a second: a tenth of fuzz_runs at least
 *        fuzz_NAME FILE...          those inputs: reproducers and corpora
 *        fuzz_NAME --corpus DIR     writes seeds into DIR, for libFuzzer to begin with
 *
 * Each input has a number of its own that all of it follows from. SEED=n runs that input alone;
 * HOLDFAST_LONG=1 runs many more. Threads: one. */
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "fuzz.h"
#include "lib/budget.h"

#define CORPUS_SEEDS  200u
#define FLOOR_DIVISOR 10u
#define LONG_FACTOR   100u
#define SECONDS       1.0
#define MUTATIONS_MAX 8u

static uint64_t running; /* the input's number, for who finds us dead */

/* Prints the number of the input that failed, then dies of the signal all the same. */
static void tell_seed(int number)
{
    char line[64];
    int len = snprintf(line, sizeof line, "SEED=%llu\n", (unsigned long long)running);
    (void)!write(STDERR_FILENO, line, (size_t)len);
    signal(number, SIG_DFL);
    raise(number);
}

/* The input that a number stands for: a seed, mutated or, one time in four, as it is. */
static size_t make_input(uint64_t number, uint8_t *data)
{
    struct rng rng;
    rng_init(&rng, number);
    size_t size = fuzz_seed(&rng, data, FUZZ_INPUT_BYTES_MAX);
    FUZZ_CHECK(size <= FUZZ_INPUT_BYTES_MAX, "a seed of %zu bytes", size);
    if (!rng_chance(&rng, 4)) {
        for (uint64_t count = rng_between(&rng, 1, MUTATIONS_MAX); count > 0; count--) {
            size = rng_chance(&rng, 3) ? fuzz_mutate_bytes(&rng, data, size, FUZZ_INPUT_BYTES_MAX)
                                       : fuzz_mutate(&rng, data, size, FUZZ_INPUT_BYTES_MAX);
        }
    }
    return size;
}

static void run(const uint8_t *data, size_t size)
{
    uint8_t *copy = fuzz_copy(data, size);
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

static int run_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file) {
        perror(path);
        return 2;
    }
    static uint8_t data[1u << 20];
    size_t size = fread(data, 1, sizeof data, file);
    fclose(file);
    printf("%s: %zu bytes\n", path, size);
    fflush(stdout);
    run(data, size);
    return 0;
}

static int write_corpus(const char *directory)
{
    static uint8_t data[FUZZ_INPUT_BYTES_MAX];
    for (unsigned i = 0; i < CORPUS_SEEDS; i++) {
        struct rng rng;
        rng_init(&rng, i);
        size_t size = fuzz_seed(&rng, data, sizeof data);
        char path[4096];
        snprintf(path, sizeof path, "%s/seed-%03u", directory, i);
        FILE *file = fopen(path, "wb");
        if (!file || fwrite(data, 1, size, file) != size || fclose(file) != 0) {
            perror(path);
            return 2;
        }
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--corpus") == 0) {
        return write_corpus(argv[2]);
    }
    for (int i = 1; i < argc; i++) {
        int failed = run_file(argv[i]);
        if (failed) {
            return failed;
        }
    }
    if (argc > 1) {
        return 0;
    }
    signal(SIGABRT, tell_seed);
    static uint8_t data[FUZZ_INPUT_BYTES_MAX];
    uint64_t first = rng_seed_from_env(1);
    struct budget budget =
        budget_make("inputs", fuzz_runs / FLOOR_DIVISOR, SECONDS, fuzz_runs * LONG_FACTOR);
    while (budget_next(&budget)) {
        running = first + budget.round;
        run(data, make_input(running, data));
    }
    return 0;
}
