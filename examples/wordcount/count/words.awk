# Prints `count<tab>word` for every word of a text, in no particular order. A word is letters, with apostrophes inside.
{
    n = split(tolower($0), words, /[^a-z']+/)
    for (i = 1; i <= n; i++) {
        word = words[i]
        gsub(/^'+|'+$/, "", word)
        if (word != "") count[word]++
    }
}
END { for (word in count) print count[word] "\t" word }
