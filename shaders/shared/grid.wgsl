// Flat numbers of workgroups and threads in a two-dimensional grid: one dimension holds at most 65,535
// workgroups, so a longer row of them is broken into lines of `groups_x`.

fn flat_group(group: vec3<u32>, groups_x: u32) -> u32 {
    return group.y * groups_x + group.x;
}

fn flat_thread(group: vec3<u32>, groups_x: u32, group_threads: u32, thread: u32) -> u32 {
    return flat_group(group, groups_x) * group_threads + thread;
}
