//! From a workspace and a target to a plan: reads, then calls the compiler's stations in order.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use flow_apply::{Folder, FolderKind, LocalTarget, Observed, Target};
use flow_engine::{
    forecast::{Future, FutureBranch, FutureChange, FuturePipeline, forecast},
    inputs::LeafTree,
    local::LocalPool,
    schedule::live_dag,
};
use flow_model::{
    commit::{Commit, Origin},
    dag::Dag,
    datum::ExecutorIdentity,
    diagnostic::Diagnostic,
    digest::{CommitId, TreeId},
    name::{BranchName, PipelineName, RepoName},
    plan::{Action, Basis, FolderSync, PLAN_FORMAT, Plan},
    resource::{Desired, Live, Resource, ResourceAddr},
    span::SourceMap,
    spec::{PipelineVersion, RepoSource},
    tree::{FileCounts, FileEntry},
    workflow::{Resolved, ResolvedRepo, Workflow},
};
use flow_plan::resources::{CodeDiff, Details, Mode};
use flow_spec::{Compiled, Folders, KnownRepo, KnownRepos};
use flow_store::{Reader, Snapshot, Transaction, empty_tree};

use crate::{
    codes,
    error::CommandError,
    session::Session,
    settings::Settings,
    ui::Ui,
    view,
    workspace::{Sources, Workspace},
};

/// Paths of a folder sync that a plan names.
const SYNC_EXAMPLES: usize = 5;

/// A plan with all that it was made from.
pub(crate) struct Planned {
    pub(crate) plan: Plan,
    pub(crate) desired: Desired,
    pub(crate) observed: Observed,
    pub(crate) sources: BTreeMap<RepoName, Folder>,
    pub(crate) code: BTreeMap<PipelineName, Folder>,
}

/// A workspace that has been read and compiled without an error.
pub(crate) struct Checked {
    pub(crate) files: usize,
    map: SourceMap,
    workflow: Workflow<Resolved>,
    dag: Dag,
    sources: BTreeMap<RepoName, Folder>,
    code: BTreeMap<PipelineName, Folder>,
    executors: BTreeMap<PipelineName, ExecutorIdentity>,
}

/// What a look at a workspace gave.
pub(crate) struct Diagnosed {
    pub(crate) diagnostics: Vec<Diagnostic>,
    pub(crate) sources: SourceMap,
    checked: Option<Checked>,
}

/// Reads and compiles a workspace and looks at the folders and programs that it names.
pub(crate) fn diagnose(
    workspace: &Workspace,
    paths: &[PathBuf],
    known: &KnownRepos,
    settings: &Settings,
) -> Result<Diagnosed, CommandError> {
    let Sources { map, problems } = workspace.sources(paths, settings)?;
    let Compiled { workflow, dag, mut diagnostics } = flow_spec::compile(&map, known);
    diagnostics.extend(problems);
    let mut checked = None;
    if let (Some(workflow), Some(dag)) = (workflow, dag) {
        let mut looked = Looked::default();
        looked.look(workspace, &workflow, &map, settings);
        diagnostics.append(&mut looked.diagnostics);
        let Looked { sources, code, executors, .. } = looked;
        let files = map.files().count();
        checked = Some(Checked { files, map: map.clone(), workflow, dag, sources, code, executors });
    }
    flow_model::diagnostic::sort(&mut diagnostics);
    Ok(Diagnosed { diagnostics, sources: map, checked })
}

/// As [`diagnose`], and prints every diagnostic. `Err` inside is the number of errors.
pub(crate) fn check(
    workspace: &Workspace,
    paths: &[PathBuf],
    known: &KnownRepos,
    settings: &Settings,
    ui: &Ui,
) -> Result<Result<Checked, usize>, CommandError> {
    let Diagnosed { diagnostics, sources, checked } = diagnose(workspace, paths, known, settings)?;
    view::diagnostics::print(ui, &diagnostics, &sources, settings.width);
    let errors = diagnostics.iter().filter(|diagnostic| diagnostic.is_error()).count();
    Ok(checked.filter(|_| errors == 0).ok_or(errors))
}

impl Checked {
    /// Pipelines and repos.
    pub(crate) fn size(&self) -> (usize, usize) {
        (self.workflow.pipelines.len(), self.workflow.repos.len())
    }
}

/// What the file system says to a resolved workflow.
#[derive(Default)]
struct Looked {
    diagnostics: Vec<Diagnostic>,
    sources: BTreeMap<RepoName, Folder>,
    code: BTreeMap<PipelineName, Folder>,
    executors: BTreeMap<PipelineName, ExecutorIdentity>,
}

impl Looked {
    fn look(
        &mut self,
        workspace: &Workspace,
        workflow: &Workflow<Resolved>,
        map: &SourceMap,
        settings: &Settings,
    ) {
        for (name, repo) in &workflow.repos {
            let ResolvedRepo::Declared(repo) = repo else { continue };
            let Some(source) = &repo.value.source else { continue };
            let span = repo.fields.get("source.path").copied().unwrap_or(repo.span);
            // A source folder is named from the file that declares it.
            let declared_in = Path::new(map.file(repo.span.file).name()).parent().unwrap_or(Path::new(""));
            match Folder::read(&workspace.root.join(declared_in).join(&source.path), FolderKind::Source) {
                Ok(folder) => {
                    self.sources.insert(name.clone(), folder);
                }
                Err(error) => self.diagnostics.push(codes::unusable_folder(span, &error.to_string())),
            }
        }
        for (name, pipeline) in &workflow.pipelines {
            let transform = &pipeline.value.transform;
            let span = |field: &str| pipeline.fields.get(field).copied().unwrap_or(pipeline.span);
            let folder = transform.code.as_ref().map(|code| workspace.root.join(code));
            if let Some(folder) = &folder {
                match Folder::read(folder, FolderKind::Code) {
                    Ok(files) => {
                        self.code.insert(name.clone(), files);
                    }
                    Err(error) => {
                        let place = span("transform.code");
                        self.diagnostics.push(codes::unusable_folder(place, &error.to_string()));
                        continue;
                    }
                }
            }
            let version = PipelineVersion { spec: pipeline.value.clone(), code_tree: None };
            match LocalPool::identify_in(&settings.environment, &version, folder.as_deref()) {
                Ok(executor) => {
                    self.executors.insert(name.clone(), executor);
                }
                Err(error) => {
                    let place = span("transform.cmd");
                    let diagnostic = codes::unusable_program(place, &error.to_string(), error.help());
                    self.diagnostics.push(diagnostic);
                }
            }
        }
    }
}

/// What the state knows of repos, for the checks of names.
pub(crate) async fn known_repos(
    workspace: &Workspace,
    snapshot: Option<&Snapshot>,
) -> Result<KnownRepos, CommandError> {
    let mut known = KnownRepos::none(workspace.project.clone());
    if let Some(snapshot) = snapshot {
        for (repo, state) in snapshot.repos().await? {
            let branches: BTreeSet<BranchName> = snapshot.branches(&repo).await?.into_keys().collect();
            known.repos.insert(repo, KnownRepo { branches, pipeline: state.pipeline });
        }
    }
    Ok(known)
}

/// Makes a plan. `Err` inside is the number of errors in the workspace, which were printed.
pub(crate) async fn plan(
    session: &Session,
    paths: &[PathBuf],
    settings: &Settings,
    ui: &Ui,
) -> Result<Result<Planned, usize>, CommandError> {
    let observed = observe(session).await?;
    let known = known_repos(&session.workspace, observed.snapshot.as_ref()).await?;
    let checked = match check(&session.workspace, paths, &known, settings, ui)? {
        Ok(checked) => checked,
        Err(errors) => return Ok(Err(errors)),
    };
    Planner { session, observed, checked }.plan().await.map(Ok)
}

/// Makes a plan that removes everything.
pub(crate) async fn plan_destroy(session: &Session) -> Result<Planned, CommandError> {
    let observed = observe(session).await?;
    let (desired, nowhere) = (Desired::new(), |_: &ResourceAddr, _: &str| None);
    let details = Details { folders: &BTreeMap::new(), code: &BTreeMap::new(), locate: &nowhere };
    let changes = flow_plan::resources::diff(&desired, &observed.live, Mode::Destroy, &details);
    let order = flow_plan::order::order(&changes, &desired, &observed.live);
    let basis = basis(session, &observed, &desired, &changes, &BTreeSet::new()).await?;
    let plan = Plan { destroy: true, ..frame(session, basis, changes, Vec::new(), order, Vec::new()) };
    Ok(Planned { plan, desired, observed, sources: BTreeMap::new(), code: BTreeMap::new() })
}

async fn observe(session: &Session) -> Result<Observed, CommandError> {
    match session.project() {
        Some(project) => Ok(LocalTarget::new(project).observe().await?),
        None => Ok(Observed { snapshot: None, live: Live::new() }),
    }
}

struct Planner<'a> {
    session: &'a Session,
    observed: Observed,
    checked: Checked,
}

impl Planner<'_> {
    async fn plan(self) -> Result<Planned, CommandError> {
        // Trees of folders are built in a transaction that is dropped: a plan writes nothing.
        let project = self.session.project_to_look_at().await?;
        let mut overlay = project.sketch(self.observed.snapshot.as_ref());
        let folders = self.folder_trees(&mut overlay).await?;
        let desired =
            flow_spec::lower(&self.checked.workflow, &self.checked.dag, &self.checked.map, &folders);
        let reader = overlay.reader();
        let syncs = self.syncs(&reader, &folders).await?;
        let code = self.code_diffs(&reader, &desired).await?;
        let locate = |addr: &ResourceAddr, field: &str| {
            let span = self.checked.workflow.span_of(addr, Some(field))?;
            Some(self.checked.map.location(span))
        };
        let details = Details { folders: &syncs, code: &code, locate: &locate };
        let changes = flow_plan::resources::diff(&desired, &self.observed.live, Mode::Apply, &details);
        let order = flow_plan::order::order(&changes, &desired, &self.observed.live);
        let future = self.future(reader, &changes, &desired, &syncs)?;
        let data = forecast(&future, &self.checked.dag).await?;
        let read = self.branches_read();
        let basis = basis(self.session, &self.observed, &desired, &changes, &read).await?;
        let plan = frame(self.session, basis, changes, data, order, self.notes());
        drop(future);
        let Checked { sources, code, .. } = self.checked;
        Ok(Planned { plan, desired, observed: self.observed, sources, code })
    }

    async fn folder_trees(&self, overlay: &mut Transaction) -> Result<Folders, CommandError> {
        let mut folders = Folders::default();
        for (repo, folder) in &self.checked.sources {
            folders.sources.insert(repo.clone(), tree_of(overlay, folder).await?);
        }
        for (pipeline, folder) in &self.checked.code {
            folders.code.insert(pipeline.clone(), tree_of(overlay, folder).await?);
        }
        Ok(folders)
    }

    /// The source folders that differ from their branch.
    async fn syncs(
        &self,
        reader: &Reader,
        folders: &Folders,
    ) -> Result<BTreeMap<RepoName, FolderSync>, CommandError> {
        let mut syncs = BTreeMap::new();
        for (repo, tree) in &folders.sources {
            let Some(source) = self.source_of(repo) else { continue };
            if let Some(sync) = self.sync(reader, repo, source, *tree).await? {
                syncs.insert(repo.clone(), sync);
            }
        }
        Ok(syncs)
    }

    fn source_of(&self, repo: &RepoName) -> Option<&RepoSource> {
        match self.checked.workflow.repos.get(repo)? {
            ResolvedRepo::Declared(declared) => declared.value.source.as_ref(),
            ResolvedRepo::Implied(_) => None,
        }
    }

    async fn sync(
        &self,
        reader: &Reader,
        repo: &RepoName,
        source: &RepoSource,
        tree: TreeId,
    ) -> Result<Option<FolderSync>, CommandError> {
        let head = match &self.observed.snapshot {
            Some(snapshot) => match snapshot.branch(repo, &source.branch).await? {
                Some(branch) => Some((branch.head, reader.stored::<Commit>(branch.head.0).await?)),
                None => None,
            },
            None => None,
        };
        let before = head.as_ref().map(|(_, commit)| commit.tree);
        if before == Some(tree) {
            return Ok(None);
        }
        let (mut counts, mut examples) = (FileCounts::default(), Vec::new());
        for change in reader.files(tree).changes_since(before).collect().await? {
            counts.count(change.before.as_ref(), change.after.as_ref());
            if examples.len() < SYNC_EXAMPLES {
                let sign = match (&change.before, &change.after) {
                    (None, _) => '+',
                    (_, None) => '-',
                    _ => '~',
                };
                examples.push(format!("{sign} {}", change.path));
            }
        }
        let foreign = head.filter(|(_, commit)| commit.origin != Origin::Source).map(|(id, _)| id);
        Ok(Some(FolderSync {
            path: source.path.clone(),
            branch: source.branch.to_string(),
            tree,
            counts,
            examples,
            overwrites: foreign,
        }))
    }

    async fn code_diffs(
        &self,
        reader: &Reader,
        desired: &Desired,
    ) -> Result<BTreeMap<PipelineName, CodeDiff>, CommandError> {
        let mut diffs = BTreeMap::new();
        for (pipeline, folder) in &self.checked.code {
            let addr = ResourceAddr::Pipeline(pipeline.clone());
            let before = self.observed.live.get(&addr).and_then(|live| code_tree(&live.resource));
            let after = desired.get(&addr).and_then(|wanted| code_tree(&wanted.resource));
            if before.is_some() && before != after {
                diffs.insert(
                    pipeline.clone(),
                    view::code::diff(reader, before, after.unwrap_or_else(empty_tree), folder).await?,
                );
            }
        }
        Ok(diffs)
    }

    fn future<'a>(
        &'a self,
        reader: Reader,
        changes: &[flow_model::plan::Change],
        desired: &Desired,
        syncs: &BTreeMap<RepoName, FolderSync>,
    ) -> Result<Future<'a>, CommandError> {
        let mut branches = BTreeMap::new();
        for (repo, sync) in syncs {
            let branch: BranchName = sync.branch.parse()?;
            let (files, bytes) = self.checked.sources.get(repo).map_or((0, 0), Folder::size);
            let tree = LeafTree { tree: sync.tree, files, bytes };
            branches.insert((repo.clone(), branch), FutureBranch { tree, head: None });
        }
        let mut pipelines = BTreeMap::new();
        for change in changes {
            let ResourceAddr::Pipeline(name) = &change.addr else { continue };
            let wanted = desired.get(&change.addr).map(|wanted| &wanted.resource);
            let (Some(Resource::Pipeline(version)), Some(executor)) =
                (wanted, self.checked.executors.get(name))
            else {
                continue;
            };
            let kind = match change.action {
                Action::Create => FutureChange::Created,
                Action::Update => {
                    FutureChange::Changed(change.fields.iter().map(|field| field.path.clone()).collect())
                }
                Action::NoOp | Action::Delete => FutureChange::None,
            };
            let future =
                FuturePipeline { version: (**version).clone(), executor: executor.clone(), change: kind };
            pipelines.insert(name.clone(), future);
        }
        Ok(Future {
            reader,
            snapshot: self.observed.snapshot.as_ref(),
            project: self.session.project(),
            branches,
            pipelines,
        })
    }

    fn branches_read(&self) -> BTreeSet<(RepoName, BranchName)> {
        let leaves = |spec: &flow_model::spec::PipelineSpec| -> Vec<(RepoName, BranchName)> {
            spec.input.leaves().into_iter().map(|leaf| (leaf.repo.clone(), leaf.branch.clone())).collect()
        };
        self.checked.workflow.pipelines.values().flat_map(|pipeline| leaves(&pipeline.value)).collect()
    }

    fn notes(&self) -> Vec<String> {
        let with_image = self.checked.workflow.pipelines.values();
        let with_image = with_image.filter(|pipeline| pipeline.value.transform.image.is_some()).count();
        if with_image == 0 {
            return Vec::new();
        }
        vec!["`image` is kept, but processes on this machine do not use it".to_owned()]
    }
}

fn code_tree(resource: &Resource) -> Option<TreeId> {
    match resource {
        Resource::Pipeline(version) => version.code_tree,
        Resource::Repo(_) => None,
    }
}

async fn tree_of(overlay: &mut Transaction, folder: &Folder) -> Result<TreeId, CommandError> {
    let edit = |path: &str, entry: &FileEntry| (path.as_bytes().to_vec(), Some(entry.encode().to_vec()));
    let edits = folder.files.iter().map(|file| edit(file.path.as_str(), &file.entry)).collect();
    Ok(overlay.edit_tree(None, edits).await?)
}

async fn basis(
    session: &Session,
    observed: &Observed,
    desired: &Desired,
    changes: &[flow_model::plan::Change],
    read: &BTreeSet<(RepoName, BranchName)>,
) -> Result<Basis, CommandError> {
    let mut heads: BTreeMap<String, Option<CommitId>> = BTreeMap::new();
    for (repo, branch) in read {
        let head = match &observed.snapshot {
            Some(snapshot) => snapshot.branch(repo, branch).await?.map(|state| state.head),
            None => None,
        };
        heads.insert(format!("{repo}@{branch}"), head);
    }
    Ok(Basis {
        project: session.workspace.project.to_string(),
        lineage: session.lineage(),
        workspace: flow_plan::basis::workspace_digest(desired),
        touched: flow_plan::basis::touched(changes, desired, &observed.live),
        operation: observed.snapshot.as_ref().map(Snapshot::operation_id),
        heads,
    })
}

fn frame(
    session: &Session,
    basis: Basis,
    changes: Vec<flow_model::plan::Change>,
    data: Vec<flow_model::forecast::DatumForecast>,
    order: Vec<ResourceAddr>,
    notes: Vec<String>,
) -> Plan {
    Plan {
        format_version: PLAN_FORMAT,
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        context: session.workspace.context.clone(),
        workspace: session.workspace.root.display().to_string(),
        destroy: false,
        basis,
        changes,
        data,
        order,
        notes,
    }
}

/// The DAG of what is live, for commands that have no workspace at hand.
pub(crate) async fn dag_of_state(snapshot: &Snapshot) -> Result<Dag, CommandError> {
    Ok(live_dag(snapshot).await?)
}
