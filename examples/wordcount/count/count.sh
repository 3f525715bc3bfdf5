# Counts the words of one text. flow runs this once for each file of the repo `texts`, in this folder.
#
# `$texts` is the path of the text at hand. What is written below `/pfs/out` becomes the datum's output; the name is
# made of the text's own, because two datums must not write one path. (`FLOW_PFS` is set only on machines that cannot
# give each datum a `/pfs` of its own.)
set -eu
export LC_ALL=C
out=${FLOW_PFS:-/pfs}/out/counts
name=$(basename "$texts" .txt)

mkdir -p "$out"
awk -f words.awk "$texts" | sort -k1,1nr -k2 >"$out/$name.tsv"
