/* suggest.h - "did you mean": which known words are like a word that is not known.
 *
 * Compares letters, not bytes (UTF-8). Two letters in the wrong order count as one mistake; capital
 * and small letters of ASCII are the same. Threads: any, each with its own. */
#ifndef BASE_SUGGEST_H
#define BASE_SUGGEST_H

#include <stddef.h>
#include <stdint.h>

#define SUGGEST_WORDS      3u
#define SUGGEST_WORD_BYTES 72u /* longer words are ignored; above CODE_BYTES_MAX */
#define SUGGEST_TEXT_BYTES (SUGGEST_WORDS * (SUGGEST_WORD_BYTES + 8) + 32)

struct suggest {
    const char *wanted;
    unsigned count;
    unsigned mistakes[SUGGEST_WORDS];
    char words[SUGGEST_WORDS][SUGGEST_WORD_BYTES]; /* the nearest first */
};

/* wanted: outlives it. */
void suggest_begin(struct suggest *suggest, const char *wanted);

/* Offers a known word. It is kept if it is like the wanted one. */
void suggest_offer(struct suggest *suggest, const char *word);

/* " (did you mean 'a' or 'b'?)", or "" when nothing is alike. text: SUGGEST_TEXT_BYTES. */
const char *suggest_text(const struct suggest *suggest, char *text);

#endif
