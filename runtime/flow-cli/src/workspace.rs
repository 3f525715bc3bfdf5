//! A workspace on disk: its folder, its settings file, its spec files.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use flow_model::{diagnostic::Diagnostic, name::ProjectName, span::SourceMap};
use flow_spec::settings::Settings as FileSettings;
use flow_store::StoreUrl;

use crate::{error::CommandError, settings::Settings};

/// The settings file at a workspace's root.
pub(crate) const SETTINGS_FILE: &str = "flow.yaml";
/// Where the local context keeps store and scratch.
pub(crate) const LOCAL_FOLDER: &str = ".flow";
/// The context without any setting.
pub(crate) const LOCAL_CONTEXT: &str = "local";

/// A workspace: where specs and, without other settings, the store are.
#[derive(Debug, Clone)]
pub(crate) struct Workspace {
    /// Its folder, absolute.
    pub(crate) root: PathBuf,
    /// The project.
    pub(crate) project: ProjectName,
    /// The name of the context.
    pub(crate) context: String,
    /// Where the store is.
    pub(crate) store: StoreUrl,
}

impl Workspace {
    /// The workspace that a spec argument names: a folder, or that of the first file.
    pub(crate) fn of_paths(paths: &[PathBuf], settings: &Settings) -> Result<Self, CommandError> {
        let first = paths.first().map_or_else(|| settings.folder.clone(), |path| settings.path(path));
        let folder = if first.is_dir() { first } else { first.parent().unwrap_or(&first).to_owned() };
        Self::at(&folder, settings)
    }

    /// The workspace around the current folder: the nearest one upwards with a store or a settings file.
    pub(crate) fn around(settings: &Settings) -> Result<Self, CommandError> {
        let is_root =
            |folder: &&Path| folder.join(LOCAL_FOLDER).is_dir() || folder.join(SETTINGS_FILE).is_file();
        let root = settings.folder.ancestors().find(is_root);
        let root = root.ok_or_else(|| {
            CommandError::user(format!("no workspace in `{}` or above it", settings.folder.display())).help(
                "run `flow apply` in a folder with specs first, or name the workspace: `flow -C DIR ...`",
            )
        })?;
        Self::at(root, settings)
    }

    fn at(folder: &Path, settings: &Settings) -> Result<Self, CommandError> {
        let root = folder.canonicalize().map_err(|error| unreadable(folder, &error))?;
        let file = read_settings(&root)?;
        let project = match &file.project {
            Some(project) => project.value.clone(),
            None => project_of_folder(&root)?,
        };
        let wanted =
            settings.context.clone().or_else(|| file.context.as_ref().map(|name| name.value.clone()));
        let context = wanted.unwrap_or_else(|| LOCAL_CONTEXT.to_owned());
        let store = match file.contexts.get(&context) {
            Some(flow_spec::settings::Context { store: Some(declared), .. }) => {
                store_url(&declared.value, &root)?
            }
            _ if context == LOCAL_CONTEXT => StoreUrl::File(root.join(LOCAL_FOLDER).join("store")),
            _ => {
                return Err(CommandError::user(format!("context `{context}` is not declared with a store"))
                    .help(format!(
                        "declare it in `{SETTINGS_FILE}`: `contexts: {{{context}: {{store: ...}}}}`"
                    )));
            }
        };
        Ok(Self { root, project, context, store })
    }

    /// Where slots, code and locks are: beside the store where it is a folder, else in the workspace.
    pub(crate) fn scratch(&self) -> PathBuf {
        match &self.store {
            StoreUrl::File(path) => path.with_file_name("run"),
            StoreUrl::Memory => self.root.join(LOCAL_FOLDER).join("run"),
        }
    }

    /// Makes the local folder, kept out of git by an ignore file of its own.
    pub(crate) fn prepare(&self) -> Result<(), CommandError> {
        let folder = self.root.join(LOCAL_FOLDER);
        let inside = match &self.store {
            StoreUrl::File(path) => path.starts_with(&folder),
            StoreUrl::Memory => true,
        };
        if !inside {
            return Ok(());
        }
        fs::create_dir_all(&folder).map_err(|error| cannot_write(&folder, &error))?;
        let ignore = folder.join(".gitignore");
        if !ignore.exists() {
            fs::write(&ignore, "*\n").map_err(|error| cannot_write(&ignore, &error))?;
        }
        Ok(())
    }

    /// Reads the spec files. A folder's own files count, not those of its subfolders: data lies there.
    pub(crate) fn sources(&self, paths: &[PathBuf], settings: &Settings) -> Result<Sources, CommandError> {
        let mut files = BTreeSet::new();
        for path in paths {
            let path = settings.path(path);
            if path.is_dir() {
                files.extend(spec_files(&path)?);
            } else {
                files.insert(path);
            }
        }
        if files.is_empty() {
            return Err(no_specs(&settings.path(&paths[0])));
        }
        let mut sources = Sources::default();
        for file in files {
            sources.read(&file, &self.root)?;
        }
        Ok(sources)
    }
}

/// Spec files as they were read.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    /// The texts.
    pub(crate) map: SourceMap,
    /// Files that are no text.
    pub(crate) problems: Vec<Diagnostic>,
}

impl Sources {
    fn read(&mut self, file: &Path, root: &Path) -> Result<(), CommandError> {
        let name = file.strip_prefix(root).unwrap_or(file).display().to_string();
        let size = fs::metadata(file).map_err(|error| unreadable(file, &error))?.len();
        if size > flow_spec::MAX_FILE_BYTES as u64 {
            self.problems.push(flow_spec::codes::syntax::unread_file_too_large(&name, size));
            return Ok(());
        }
        let bytes = fs::read(file).map_err(|error| unreadable(file, &error))?;
        match flow_spec::decode(bytes) {
            // A plan that was kept beside the specs is none of them.
            Ok(text) if flow_plan::file::is_plan(&text) => {}
            Ok(text) => {
                self.map.add(name, text);
            }
            Err(problem) => self.problems.push(problem.diagnostic(&name)),
        }
        Ok(())
    }
}

fn spec_files(folder: &Path) -> Result<Vec<PathBuf>, CommandError> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(|error| unreadable(folder, &error))? {
        let path = entry.map_err(|error| unreadable(folder, &error))?.path();
        let is_spec = path.extension().is_some_and(|kind| kind == "yaml" || kind == "yml" || kind == "json");
        let is_hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        let is_settings = path.file_name().is_some_and(|name| name == SETTINGS_FILE);
        if is_spec && !is_hidden && !is_settings && path.is_file() {
            files.push(path);
        }
    }
    Ok(files)
}

fn no_specs(folder: &Path) -> CommandError {
    CommandError::user(format!("no specs in `{}`", folder.display())).help(
        "specs are `.yaml`, `.yml` and `.json` files in the folder itself; `flow init` writes a first one",
    )
}

fn read_settings(root: &Path) -> Result<FileSettings, CommandError> {
    let path = root.join(SETTINGS_FILE);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(unreadable(&path, &error)),
    };
    let mut map = SourceMap::default();
    let file = map.add(SETTINGS_FILE, text);
    let (settings, diagnostics) = flow_spec::settings::parse(&map, file);
    match diagnostics.iter().find(|diagnostic| diagnostic.is_error()) {
        Some(first) => {
            let place = first.location(&map);
            let place = place.map_or_else(
                || SETTINGS_FILE.to_owned(),
                |at| format!("{}:{}:{}", at.file, at.line, at.column),
            );
            let error = CommandError::user(format!("{place}: {} [{}]", first.message, first.code.id));
            Err(first.help.iter().fold(error, |error, help| error.help(help.clone())))
        }
        None => Ok(settings),
    }
}

/// The folder's name, with what a project name must not have replaced by `-`.
fn project_of_folder(root: &Path) -> Result<ProjectName, CommandError> {
    let name = root.file_name().map_or_else(|| "root".to_owned(), |name| name.to_string_lossy().into_owned());
    let clean = |c: char| if c.is_ascii_alphanumeric() || c == '_' || c == '-' { c } else { '-' };
    let name: String = name.chars().map(clean).take(63).collect();
    let name = name.trim_start_matches(['-', '_']);
    let name = if name.is_empty() { "project" } else { name };
    Ok(ProjectName::parse(name)?)
}

fn store_url(text: &str, root: &Path) -> Result<StoreUrl, CommandError> {
    if text.contains("://") {
        return text.parse().map_err(|error| CommandError::user(format!("store `{text}`: {error}")));
    }
    Ok(StoreUrl::File(root.join(text)))
}

fn unreadable(path: &Path, error: &io::Error) -> CommandError {
    CommandError::user(format!("cannot read `{}`: {error}", path.display()))
}

fn cannot_write(path: &Path, error: &io::Error) -> CommandError {
    CommandError::user(format!("cannot write `{}`: {error}", path.display()))
}
