//! Installs the programs that others have written, which some scenarios talk to.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail, ensure};
use tokio::process::Command;

use crate::build;
use crate::services::Debian;

/// Where the lists of packages are.
const LISTS: &str = "tests/peers";

/// Installs what the lists name and returns the directory, to be given to scenarios as BONGSU_PEERS: `venv/bin/python`
/// runs the Python peers, `node_modules` is the NODE_PATH of the others. Nothing is done when the lists have not changed
/// since the last time.
pub async fn install() -> Result<PathBuf> {
    let lists = build::root().join(LISTS);
    let peers = build::target()?.join("peers");
    std::fs::create_dir_all(&peers).with_context(|| format!("cannot make {}", peers.display()))?;
    python(&lists, &peers).await.context("peers in Python")?;
    node(&lists, &peers).await.context("peers in Node")?;
    Ok(peers)
}

async fn python(lists: &Path, peers: &Path) -> Result<()> {
    let wanted = [lists.join("requirements.txt")];
    let (venv, mark) = (peers.join("venv"), peers.join("python.installed"));
    if venv.join("bin/python").exists() && is_installed(&wanted, &mark)? {
        return Ok(());
    }
    let make = async || run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv)).await;
    if make().await.is_err() {
        Debian::default().install(&["python3", "python3-venv"]).await?;
        make().await?;
    }
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"];
    run(Command::new(venv.join("bin/python")).args(pip).arg(&wanted[0])).await?;
    mark_installed(&wanted, &mark)
}

async fn node(lists: &Path, peers: &Path) -> Result<()> {
    let wanted: Vec<PathBuf> = ["package.json", "package-lock.json"].map(|name| lists.join(name)).into();
    ensure!(wanted[1].exists(), "{LISTS}/package-lock.json is missing; make it with `npm install --package-lock-only`");
    let mark = peers.join("node.installed");
    if peers.join("node_modules").is_dir() && is_installed(&wanted, &mark)? {
        return Ok(());
    }
    if run(Command::new("npm").arg("--version")).await.is_err() {
        Debian::default().install(&["nodejs", "npm"]).await?;
    }
    for file in &wanted {
        let name = file.file_name().context("a list has a name")?;
        std::fs::copy(file, peers.join(name)).with_context(|| format!("cannot copy {}", file.display()))?;
    }
    run(Command::new("npm").args(["ci", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"]).current_dir(peers))
        .await?;
    mark_installed(&wanted, &mark)
}

fn contents(files: &[PathBuf]) -> Result<String> {
    let texts = files
        .iter()
        .map(|file| std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display())));
    Ok(texts.collect::<Result<Vec<_>>>()?.join("\n--\n"))
}

fn is_installed(wanted: &[PathBuf], mark: &Path) -> Result<bool> {
    Ok(std::fs::read_to_string(mark).is_ok_and(|installed| contents(wanted).is_ok_and(|now| now == installed)))
}

fn mark_installed(wanted: &[PathBuf], mark: &Path) -> Result<()> {
    std::fs::write(mark, contents(wanted)?).with_context(|| format!("cannot write {}", mark.display()))
}

async fn run(command: &mut Command) -> Result<()> {
    let name = command.as_std().get_program().to_string_lossy().into_owned();
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true).status();
    match status.await {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => bail!("{name} ended with {status}"),
        Err(error) => bail!("cannot run {name}: {error}"),
    }
}
