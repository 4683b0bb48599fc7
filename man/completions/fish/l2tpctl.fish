# fish completion of l2tpctl(8)

# Names of the configured tunnels or interfaces, as the running daemon tells them.
function __l2tpctl_names
    l2tpctl counters 2>/dev/null | string replace -f -r "^$argv[1] (.*):\$" '$1'
end

set -l commands status summary top clear start stop reload log log-level watch counters metrics trace explain health ping failover restart
set -l levels error warn info debug
set -l columns name peer state since sessions octets frames drops round-trip

complete -c l2tpctl -f
complete -c l2tpctl -s s -l socket -r -F -d 'admin socket'
complete -c l2tpctl -l json -d 'print JSON'
complete -c l2tpctl -s h -l help -d 'print the commands'
complete -c l2tpctl -s V -l version -d 'print the version'

set -l none "not __fish_seen_subcommand_from $commands"
complete -c l2tpctl -n $none -a status -d 'tunnels, sessions and their interfaces'
complete -c l2tpctl -n $none -a summary -d 'one line a tunnel'
complete -c l2tpctl -n $none -a top -d 'the summary, again and again'
complete -c l2tpctl -n $none -a clear -d 'end tunnels or a session'
complete -c l2tpctl -n $none -a start -d 'enable a configured tunnel until the next reload'
complete -c l2tpctl -n $none -a stop -d 'disable a configured tunnel until the next reload'
complete -c l2tpctl -n $none -a reload -d 'read the configuration again'
complete -c l2tpctl -n $none -a log -d 'the messages kept in memory'
complete -c l2tpctl -n $none -a log-level -d 'set the level of the log'
complete -c l2tpctl -n $none -a watch -d 'one line per event as it happens'
complete -c l2tpctl -n $none -a counters -d 'what was counted'
complete -c l2tpctl -n $none -a metrics -d 'the counters as OpenMetrics text'
complete -c l2tpctl -n $none -a trace -d 'control messages of a tunnel into a pcapng file'
complete -c l2tpctl -n $none -a explain -d 'what a log message means; why a tunnel is not up'
complete -c l2tpctl -n $none -a health -d 'one line: is everything up?'
complete -c l2tpctl -n $none -a failover -d 'move a tunnel that has several peers to the next one'
complete -c l2tpctl -n $none -a ping -d 'HELLOs to the peer of a tunnel, or frames through a session: round trip and loss'
complete -c l2tpctl -n $none -a restart -d 'start the program again, which goes on with everything'

complete -c l2tpctl -n '__fish_seen_subcommand_from status; and not __fish_seen_subcommand_from tunnel session' -a 'tunnel session'
complete -c l2tpctl -n '__fish_seen_subcommand_from clear; and not __fish_seen_subcommand_from tunnel peer session interface all' -a 'tunnel peer session interface all'
complete -c l2tpctl -n '__fish_seen_subcommand_from clear; and __fish_seen_subcommand_from tunnel peer session interface all' -a result-code
complete -c l2tpctl -n '__fish_seen_subcommand_from explain; and not __fish_seen_subcommand_from tunnel' -a tunnel
complete -c l2tpctl -n '__fish_seen_subcommand_from reload' -a '--check'
complete -c l2tpctl -n '__fish_seen_subcommand_from log' -a "-f $levels"
complete -c l2tpctl -n '__fish_seen_subcommand_from log-level' -a "$levels"
complete -c l2tpctl -n '__fish_seen_subcommand_from counters' -a reset
complete -c l2tpctl -n '__fish_seen_subcommand_from start stop trace ping failover tunnel' -a '(__l2tpctl_names tunnel)'
complete -c l2tpctl -n '__fish_seen_subcommand_from summary top; and not __fish_seen_subcommand_from sort' -a 'up down disabled name sort'
complete -c l2tpctl -n '__fish_seen_subcommand_from summary top; and __fish_seen_subcommand_from sort' -a "$columns"
complete -c l2tpctl -n '__fish_seen_subcommand_from top' -a '-i'
complete -c l2tpctl -n '__fish_seen_subcommand_from ping session interface' -a '(__l2tpctl_names interface)'
complete -c l2tpctl -n '__fish_seen_subcommand_from ping' -a '-c -i'
complete -c l2tpctl -n '__fish_seen_subcommand_from trace' -F
