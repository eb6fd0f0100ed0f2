//! Programs that are measured: the seed program, what the corpus makes of it, and variants.

use std::path::{Path, PathBuf};

use anyhow::Context;
use packevolve::archive::programs::derive;
use packevolve::config::Asset;
use packevolve::proposer::corpus;

use crate::root;

/// Deals the items out, heaviest first, to and fro.
const SNAKE: &str = r#"import torch


def balanced_packing(weight, num_packs):
    rows, items = weight.shape
    order = weight.argsort(-1, descending=True)
    place = torch.arange(items, device=weight.device)
    turn, column = place // num_packs, place % num_packs
    pack = torch.where(turn % 2 == 0, column, num_packs - 1 - column)
    pack_index = torch.empty_like(order).scatter_(1, order, pack.expand(rows, items))
    rank_in_pack = torch.empty_like(order).scatter_(1, order, turn.expand(rows, items))
    return pack_index, rank_in_pack
"#;

/// In every round the heaviest items left go to the packs in the order of their loads.
const ROUNDS: &str = r#"import torch


def balanced_packing(weight, num_packs):
    rows, items = weight.shape
    order = weight.argsort(-1, descending=True)
    sorted_weight = weight.gather(1, order)
    load = torch.zeros(rows, num_packs, device=weight.device)
    pack_of_place = torch.empty_like(order)
    for start in range(0, items, num_packs):
        pack = load.argsort(-1)
        pack_of_place[:, start : start + num_packs] = pack
        load.scatter_add_(1, pack, sorted_weight[:, start : start + num_packs])
    turn = torch.arange(items, device=weight.device) // num_packs
    pack_index = torch.empty_like(order).scatter_(1, order, pack_of_place)
    rank_in_pack = torch.empty_like(order).scatter_(1, order, turn.expand(rows, items))
    return pack_index, rank_in_pack
"#;

/// A fast program, whose time is the hardest to take.
pub fn fast() -> String {
    ROUNDS.to_owned()
}

/// The seed program and all that the corpus makes of it, by name.
pub fn all() -> anyhow::Result<Vec<(String, String)>> {
    let seed = std::fs::read_to_string(root().join("candidates/eplb.py"))?;
    let mut programs = vec![("seed".to_owned(), seed.clone())];
    for planned in corpus::plan(&seed, corpus::read(&Asset::At(root().join("candidates/proposals")))?) {
        let parent = planned.parent.map_or(0, |parent| parent + 1);
        let (proposal, program) = derive(&programs[parent].1, &planned.document.bytes)
            .map_err(|reason| anyhow::anyhow!("{}: {reason}", planned.document.file))?;
        programs.push((proposal.name, program));
    }
    Ok(programs)
}

/// All programs, and those that lie in the folder `programs`, by their file names.
pub fn with_more() -> anyhow::Result<Vec<(String, String)>> {
    let mut programs = all()?;
    for path in glob(&root().join("programs"))? {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if programs.iter().all(|(known, _)| *known != name) {
            programs.push((name, std::fs::read_to_string(path)?));
        }
    }
    Ok(programs)
}

/// Writes all programs but the seed program into the folder `programs`.
pub fn write() -> anyhow::Result<()> {
    let folder = root().join("programs");
    std::fs::create_dir_all(&folder)?;
    for (name, program) in all()?.iter().skip(1) {
        std::fs::write(folder.join(format!("{name}.py")), program)?;
    }
    Ok(())
}

/// The programs in a folder, in the order of their names; none without the folder.
fn glob(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Ok(Vec::new()) };
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "py"));
    paths.sort();
    Ok(paths)
}

/// One of [`all`].
pub fn named(name: &str) -> anyhow::Result<String> {
    let found = all()?.into_iter().find(|(known, _)| known == name);
    Ok(found.with_context(|| format!("no {name} in the corpus"))?.1)
}

/// Nine programs of different speed, over three orders of magnitude.
pub fn nine() -> anyhow::Result<Vec<(&'static str, String)>> {
    let greedy = named("vectorized_iterative_greedy")?;
    let frugal = greedy.replace("num_attempts: int = 5", "num_attempts: int = 1");
    let frugal = frugal.replace("max_iters: int = 20", "max_iters: int = 60");
    anyhow::ensure!(frugal != greedy, "proposal 001 has other constants");
    Ok(vec![
        ("seed", named("seed")?),
        ("004 refine_packing", named("refine_packing")?),
        ("002's bridge, greedy_ensemble", named("bridge_greedy_ensemble")?),
        ("001 iterative_greedy", greedy),
        ("001 with other constants", frugal),
        ("000 local_search_refinement", named("vectorized_local_search_refinement")?),
        ("vectorized LPT", named("bridge_vectorized_lpt")?),
        ("rounds", ROUNDS.to_owned()),
        ("snake", SNAKE.to_owned()),
    ])
}
