//! What the daemon adds of its own to the catalogue: lines that begin with two blanks, and the two messages about
//! the configuration that the routers do not have.

use super::{about, Explanation};
use crate::log::catalogue::Template;
use crate::log::Level;

/// A remark and what it means.
#[derive(Debug, Clone, Copy)]
pub struct Remark {
    /// Its text, with `<placeholders>`; the id is a name.
    pub template: Template,
    /// What it means.
    pub explanation: Explanation,
}

const fn remark(level: Level, text: &'static str, explanation: Explanation) -> Remark {
    Remark { template: Template { id: explanation.id, level, text }, explanation }
}

/// The remarks that are worth an explanation.
pub static TABLE: &[Remark] = &[
    remark(
        Level::Error,
        "<tag>: Unknown tag",
        about(
            "unknown-tag",
            ["The configuration has a tag that does not exist, or that may not stand in this block.",
             "The next line has the nearest tag, if one is like it; l2tpd.conf(5) lists all of them, block by block."],
            ["設定に、存在しない項目、またはこのブロックには書けない項目があります。",
             "次の行が最も近い項目を示します。全ての項目はl2tpd.conf(5)にあります。"],
        ),
    ),
    remark(
        Level::Error,
        "<tag>: Invalid value",
        about(
            "invalid-value",
            ["A value of the configuration is out of range, or not one of the words that the tag takes.",
             "The next line says what is allowed; the file is not used before it is corrected."],
            ["設定の値が範囲外か、その項目で使える語ではありません。",
             "次の行が使える値を示します。直すまでこのファイルは使われません。"],
        ),
    ),
    remark(
        Level::Warn,
        "suppressed <count> similar messages: <kind> (<text>)",
        about(
            "suppressed",
            ["So many lines of one kind came that they were counted instead of written; the text is the last one.",
             "Explain the text in brackets; a flood of it may be an attack, or a peer in a loop."],
            ["同じ種類の行が多すぎたため、書かずに数だけを数えました。括弧内は最後の行です。",
             "括弧内の文をexplainで調べてください。大量なら攻撃や、対向の異常な繰り返しが考えられます。"],
        ),
    ),
    remark(
        Level::Warn,
        "cannot send to <IPaddress>: <error>",
        about(
            "send",
            ["The system takes no packets for this address; they count as lost, and are sent again.",
             "`Network is unreachable`: a route is missing. `Operation not permitted`: a local filter forbids it."],
            ["このアドレスへのパケットをシステムが受け付けません。失われたものとして再送します。",
             "`Network is unreachable`なら経路が無く、`Operation not permitted`なら自分側のフィルタが拒んでいます。"],
        ),
    ),
    remark(
        Level::Debug,
        "what was sent to <IPaddress> does not arrive: <error>",
        about(
            "unreachable",
            ["The peer or a router answered with an ICMP error. It is sent again: the peer may not be there yet.",
             "`Connection refused` or `Protocol not available`: see that L2TP runs at the peer, with the same \
              encapsulation and port, and that no filter rejects it."],
            ["相手や途中の機器がICMPエラーを返しました。相手がまだ動いていないだけかもしれず、再送します。",
             "`Connection refused`や`Protocol not available`なら、対向でL2TPが動いていること、カプセル化とポートが\
              同じこと、途中で拒まれていないことを確認してください。"],
        ),
    ),
    remark(
        Level::Warn,
        "<file> holds passwords and everybody may read or write it (mode <mode>)",
        about(
            "secrecy",
            ["The configuration holds the tunnels' passwords, and its mode lets every user see or change them.",
             "Say `chmod 600` to the file, and choose new passwords if others have accounts here."],
            ["設定ファイルにはトンネルのパスワードがありますが、誰でも読み書きできるモードです。",
             "`chmod 600`で直してください。ほかの利用者がいる場合はパスワードも変えてください。"],
        ),
    ),
    remark(
        Level::Warn,
        "<file>: <error>: it cannot be read again by this user",
        about(
            "unreadable",
            ["The daemon has become another user (tag user), who may not read the configuration: a reload will fail.",
             "Let the file belong to a group of that user, with mode 0640."],
            ["userで切り替えた利用者には設定ファイルを読む権限が無く、再読み込みができません。",
             "ファイルをその利用者のグループに属させ、モードを0640にしてください。"],
        ),
    ),
    remark(
        Level::Warn,
        "<tags>: in force from the next start on",
        about(
            "at-start",
            ["A reload has changed tags that are only looked at when the daemon starts.",
             "Restart the daemon when it suits you; all other changes are in force already."],
            ["起動時にしか見ない項目が、再読み込みで変わりました。",
             "都合のよいときに再起動してください。ほかの変更は既に有効です。"],
        ),
    ),
    remark(
        Level::Warn,
        "on-event of <tun_name>: <text>",
        about(
            "hook",
            ["The command of on-event failed, took too long, or was called faster than it can end.",
             "Run the command by hand with the variables L2TPD_* set; it must end by itself, and soon."],
            ["on-eventのコマンドが失敗したか、長くかかりすぎたか、終わる前に次々と呼ばれました。",
             "L2TPD_で始まる変数を設定して手で実行してみてください。短い時間で終わる必要があります。"],
        ),
    ),
    remark(
        Level::Info,
        "[<tunnel_id>] the peer is at <end> now",
        about(
            "moved",
            ["Authenticated messages of the peer come from another address or port; the tunnel follows them.",
             "Nothing, if the peer's address may change; else find out who holds the new address."],
            ["認証済みの対向のメッセージが別のアドレスまたはポートから届いたので、宛先を切り替えました。",
             "対向のアドレスが変わり得るなら対処は不要です。そうでなければ新しいアドレスを確認してください。"],
        ),
    ),
    remark(
        Level::Warn,
        "interface <if_name> was deleted",
        about(
            "interface",
            ["Somebody has removed the interface of a session; the session goes down and comes back with a new one.",
             "Find out who removed it: another network manager may have to leave it alone."],
            ["セッションのインタフェースが誰かに消されました。セッションを落とし、作り直します。",
             "何が消したかを調べてください。ほかのネットワーク管理の対象から外す必要があるかもしれません。"],
        ),
    ),
    remark(
        Level::Warn,
        "bridge <bridge> was deleted; it gets its interfaces back when it is made again",
        about(
            "bridge-deleted",
            ["Somebody has removed the bridge that sessions' interfaces were in; the sessions stay up, without the LAN.",
             "Nothing, if the network is being restarted; else make the bridge again: the interfaces join it."],
            ["セッションのインタフェースが参加していたブリッジが誰かに消されました。セッションは続きますが、LANとはつながりません。",
             "ネットワークの再起動中なら対処は不要です。そうでなければブリッジを作り直してください。自動的に参加します。"],
        ),
    ),
    remark(
        Level::Info,
        "<if_name> is not in bridge <bridge> any more",
        about(
            "bridge-left",
            ["Somebody has taken the interface of a session out of its bridge; this is respected.",
             "`ip link set IFNAME master BRIDGE` puts it back; to leave it out for good, remove the tag bridge."],
            ["セッションのインタフェースが、誰かにブリッジから外されました。そのままにします。",
             "`ip link set IFNAME master BRIDGE`で戻せます。外したままにするなら、項目bridgeを消してください。"],
        ),
    ),
    remark(
        Level::Warn,
        "<if_name>: mtu <mtu>: only <fitting> fit the path, longer frames <fate>",
        about(
            "mtu",
            ["The mtu of a session is larger than what fits into one packet towards the peer.",
             "Say `mtu auto`, or a value up to the one in the message; tcp-mss auto helps TCP."],
            ["セッションのmtuが、対向への一つのパケットに収まる大きさを超えています。",
             "`mtu auto`にするか、示された値以下にしてください。TCPには`tcp-mss auto`も有効です。"],
        ),
    ),
    remark(
        Level::Debug,
        "SCCRQ from <IPaddress> dropped: no tunnel is configured for this peer",
        about(
            "unknown-peer",
            ["A host wants to set up a tunnel, and no tunnel block has its address as remote-address.",
             "Add a tunnel for it, or `remote-address any`; if it is a stranger, nothing need be done."],
            ["トンネルの確立を求めた相手のアドレスが、どのトンネルのremote-addressにもありません。",
             "その相手のトンネルか`remote-address any`を設定してください。心当たりがなければ対処は不要です。"],
        ),
    ),
    remark(
        Level::Warn,
        "interfaces that go up or down are not noticed: <error>",
        about(
            "links",
            ["The system does not tell the daemon about its interfaces, so the peer is not told of them either.",
             "Allow netlink sockets (AF_NETLINK) where a sandbox or container forbids them."],
            ["システムからインタフェースの上げ下げの知らせを受け取れず、対向にも伝えられません。",
             "サンドボックスやコンテナで禁じられていれば、netlink(AF_NETLINK)を許可してください。"],
        ),
    ),
    remark(
        Level::Warn,
        "admin socket: user <uid> (process <pid>) may not use it",
        about(
            "admin-user",
            ["A user who is neither root nor a member of admin-group connected to the admin socket.",
             "Add the user to the group that admin-group names, if it is to be allowed."],
            ["rootでもadmin-groupの利用者でもない利用者が、管理用ソケットに接続しました。",
             "許すなら、その利用者をadmin-groupのグループに加えてください。"],
        ),
    ),
    remark(
        Level::Info,
        "admin socket: a client that follows does not read; it is dropped",
        about(
            "admin-backlog",
            ["A client of `watch`, `log -f` or `trace` left more than 64 KiB unread.",
             "Start it again; its output must go where it is taken fast enough."],
            ["`watch`・`log -f`・`trace`のクライアントが、64 KiBより多く読み残しました。",
             "もう一度始めてください。出力先が十分に速く読めることを確認してください。"],
        ),
    ),
];
