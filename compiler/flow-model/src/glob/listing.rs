//! Finds what a glob matches among the files of a repo. Folders are not stored: they are there because files are
//! below them.
//!
//! **Invariant:** work is one look at each path, whatever its depth, when the glob says how deep it matches.

use super::Glob;

/// A file or folder that a glob matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    /// Its absolute path, without a slash at the end (but `/` for the whole repo).
    pub path: String,
    /// Whether it is a folder, which stands for everything below it.
    pub is_dir: bool,
}

/// Finds the files and folders that `glob` matches, each once.
///
/// `files` are absolute paths of files, sorted by bytes. The result has the order in which Pachyderm lists: by path, a
/// folder counting as its path with a slash at the end, so a folder is just before what is below it. Without files
/// there are no folders, so that even `/` matches nothing.
pub fn matches<'a>(glob: &Glob, files: impl IntoIterator<Item = &'a str>) -> Vec<Match> {
    let mut files = files.into_iter();
    if glob.is_root() {
        let whole = files.next().map(|_| Match { path: "/".to_owned(), is_dir: true });
        return whole.into_iter().collect();
    }
    let mut found = Vec::new();
    let mut before = "";
    // Whatever is in a folder begins as the folder does, so the prefix rules out files of matching folders never.
    for file in files.filter(|file| file.starts_with(glob.literal_prefix())) {
        debug_assert!(before <= file, "files must be sorted: {before} came before {file}");
        let shared = before.bytes().zip(file.bytes()).take_while(|(a, b)| a == b).count();
        let folders = file.match_indices('/').map(|(end, _)| (end, true)).skip(1);
        for (depth, (end, is_dir)) in folders.chain([(file.len(), false)]).enumerate() {
            let wanted = glob.fixed_depth().is_none_or(|wanted| wanted == depth + 1);
            let known = is_dir && end < shared; // with its slash it is a folder of the file before, too
            if wanted && !known && glob.is_match(&file[..end]) {
                found.push(Match { path: file[..end].to_owned(), is_dir });
            }
        }
        before = file;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(glob: &str, files: &[&str]) -> Vec<String> {
        let glob = Glob::parse(glob).expect("the glob is good");
        let slash = |is_dir| if is_dir { "/" } else { "" };
        let found = matches(&glob, files.iter().copied());
        found.iter().map(|found| format!("{}{}", found.path, slash(found.is_dir))).collect()
    }

    #[test]
    fn folders_are_found_once_and_before_what_is_below_them() {
        let files = ["/a b/c", "/a,b", "/a-b/c", "/a.txt", "/a/b", "/a/c/d", "/a0/c", "/ab"];
        assert_eq!(listed("/*", &files), ["/a b/", "/a,b", "/a-b/", "/a.txt", "/a/", "/a0/", "/ab"]);
        assert_eq!(listed("/a/**", &files), ["/a/b", "/a/c/", "/a/c/d"]);
        assert_eq!(listed("/a/*", &files), ["/a/b", "/a/c/"]);
        assert_eq!(listed("/**/c", &files), ["/a b/c", "/a-b/c", "/a/c/", "/a0/c"]);
    }

    #[test]
    fn the_root_is_there_if_anything_is() {
        assert_eq!(listed("/", &["/x"]), ["//"]);
        assert_eq!(listed("/", &[]), [] as [&str; 0]);
        assert_eq!(listed("/**", &["/x"]), ["/x"]);
    }
}
