//! The daemon's own remarks. The table below is a match over all of them: a new one does not compile before it is
//! explained.

use super::about::{about, Explanation};
use crate::log::remark::RemarkKind;

macro_rules! explanations {
    ($($kind:ident [$meaning:expr, $advice:expr] [$meaning_ja:expr, $advice_ja:expr];)*) => {
        /// What a remark means.
        pub fn explanation(kind: RemarkKind) -> &'static Explanation {
            match kind {
                $(RemarkKind::$kind => const {
                    let name = RemarkKind::$kind.template().id;
                    &about(name, [$meaning, $advice], [$meaning_ja, $advice_ja])
                },)*
            }
        }
    };
}

const NOTHING: &str = "Nothing: this is what was asked for.";
const NOTHING_JA: &str = "対処は不要です。指示どおりの動作です。";
const COMES_BACK: &str = "Nothing: it comes back by itself, within seconds if the peer answers.";
const COMES_BACK_JA: &str = "対処は不要です。対向が応答すれば数秒で再び確立します。";
const SYSTEM: &str =
    "See the system's error; more descriptors (ulimit -n) or a less strict sandbox help mostly.";
const SYSTEM_JA: &str =
    "示されたエラーを確認してください。多くは記述子の上限(ulimit -n)かサンドボックスの制限です。";

explanations! {
    UnknownTag
        ["The configuration has a tag that does not exist, or that may not stand in this block.",
         "The next line has the nearest tag, if one is like it; l2tpd.conf(5) lists all of them, block by block."]
        ["設定に、存在しない項目、またはこのブロックには書けない項目があります。",
         "次の行が最も近い項目を示します。全ての項目はl2tpd.conf(5)にあります。"];
    InvalidValue
        ["A value of the configuration is out of range, or not one of the words that the tag takes.",
         "The next line says what is allowed; the file is not used before it is corrected."]
        ["設定の値が範囲外か、その項目で使える語ではありません。",
         "次の行が使える値を示します。直すまでこのファイルは使われません。"];
    Unreadable
        ["The daemon becomes another user (tag user), who may not read the configuration.",
         "Say `chgrp l2tpd` (that user's group) and `chmod 640` to the file, and see that its directories may be entered."]
        ["userで切り替える利用者には設定ファイルを読む権限が無く、再読み込みができません。",
         "ファイルに`chgrp l2tpd`(その利用者のグループ)と`chmod 640`を実行してください。ディレクトリに入れることも必要です。"];
    Gone
        ["The configuration was read, but is not there any more: it came through a pipe, say.",
         "Give a file with -c if you want to change the configuration without a restart."]
        ["設定は読めましたが、そのファイルはもうありません(パイプから読んだ場合など)。",
         "再起動せずに設定を変えたい場合は、-cでファイルを指定してください。"];
    NoTunnel
        ["The configuration has no `tunnel` block: no peer can connect, and none is called.",
         "See that this is the file that was meant (-c), and that it is whole."]
        ["設定に`tunnel`ブロックがありません。どの対向とも接続しません。",
         "意図したファイル(-c)か、途中で切れていないかを確認してください。"];
    RouterIdDerived
        ["No router-id is configured, so one was derived. It does not change while the daemon runs, whatever becomes of \
          host name and addresses.",
         "Give router-id if the peer checks it (remote-router-id there), so that it never changes."]
        ["router-idが設定されていないため、自動で決めました。動作中は、ホスト名やアドレスが変わっても同じです。",
         "対向がremote-router-idで検査する場合は、router-idを設定して固定してください。"];
    ReloadRefused
        ["The file that was to be read again has errors, so everything goes on as before.",
         "The lines before name the errors; correct them and reload again."]
        ["再読み込みしようとしたファイルに誤りがあるため、これまでの設定で動作を続けます。",
         "直前の行が誤りを示します。直してから再読み込みしてください。"];
    NothingChanged
        ["The file was read again; all of its values are those in force.",
         "Nothing; if a change was expected, see that the right file was edited."]
        ["設定ファイルを読み直しましたが、値は全て今のものと同じでした。",
         "変えたはずであれば、編集したファイルが正しいか確認してください。"];
    AtStart
        ["A reload has changed tags that are only looked at when the daemon starts.",
         "Restart the daemon when it suits you; all other changes are in force already."]
        ["起動時にしか見ない項目が、再読み込みで変わりました。",
         "都合のよいときに再起動してください。ほかの変更は既に有効です。"];
    GlobalChanged
        ["A reload has changed these tags at the head of the file.", NOTHING]
        ["再読み込みで、ファイル冒頭のこれらの項目が変わりました。", NOTHING_JA];
    TunnelAdded
        ["A reload has brought a new tunnel block; the tunnel is being set up, unless it is disabled.", NOTHING]
        ["再読み込みで新しいトンネルが加わりました。disableでなければ確立を始めます。", NOTHING_JA];
    TunnelRemoved
        ["The tunnel is not in the file any more: its peer was told, its interfaces are removed.", NOTHING]
        ["トンネルが設定から無くなったので、対向に知らせて切断し、インタフェースを消しました。", NOTHING_JA];
    TunnelRestarted
        ["These tags of the tunnel are used in its set-up, so a reload has cut it to set it up anew.", COMES_BACK]
        ["変わった項目は確立のときに使うものなので、再読み込みでトンネルを切断し、確立し直します。",
         COMES_BACK_JA];
    TunnelChanged
        ["These tags of the tunnel have new values, which took effect without an interruption.", NOTHING]
        ["トンネルのこれらの項目が、切断することなく新しい値になりました。", NOTHING_JA];
    SessionAdded
        ["A reload has brought a new session block; the session is being set up.", NOTHING]
        ["再読み込みで新しいセッションが加わり、確立を始めます。", NOTHING_JA];
    SessionRemoved
        ["The session is not in the file any more: its peer was told, its interface is removed.", NOTHING]
        ["セッションが設定から無くなったので、対向に知らせて切断し、インタフェースを消しました。", NOTHING_JA];
    SessionRestarted
        ["These tags of the session are used in its set-up, so a reload has cut it to set it up anew.", COMES_BACK]
        ["変わった項目は確立のときに使うものなので、再読み込みでセッションを切断し、確立し直します。",
         COMES_BACK_JA];
    SessionChanged
        ["These tags of the session have new values, which took effect without an interruption.", NOTHING]
        ["セッションのこれらの項目が、切断することなく新しい値になりました。", NOTHING_JA];

    NothingToStart
        ["Each tunnel that is not disabled lacks something that it needs, so the daemon does not start.",
         "The lines before say what each tunnel or session lacks, with the place in the file."]
        ["有効なトンネルの全てに足りない設定があるため、起動しません。",
         "直前の行が、足りないものとファイルの位置を示します。"];
    ProcessOne
        ["As process 1 of a container the daemon cannot go into the background: with process 1 the container ends.",
         "Start it with -d: it stays in the foreground then and logs to standard error."]
        ["コンテナのプロセス1はバックグラウンドに移れません。プロセス1が終わるとコンテナも終わります。",
         "-dを付けて起動してください。"];
    Signals
        ["The system did not let the daemon receive signals, so it did not start.", SYSTEM]
        ["シグナルを受け取る準備ができず、起動できませんでした。", SYSTEM_JA];
    Epoll
        ["The system did not let the daemon wait for events, so it did not start.", SYSTEM]
        ["イベントを待つ準備(epoll)ができず、起動できませんでした。", SYSTEM_JA];
    NoKernelL2tp
        ["`data-plane kernel` is set, but the kernel's l2tp does not answer.",
         "Say `modprobe l2tp_eth` before the start, or take the line out of the configuration."]
        ["`data-plane kernel`が設定されていますが、カーネルのl2tpが使えません。",
         "起動前に`modprobe l2tp_eth`を実行するか、設定からこの行を外してください。"];
    AdminSocket
        ["The socket for l2tpctl cannot be opened, so the daemon did not start.",
         "Another l2tpd may run already; else look at admin-socket and admin-group, and at the directory's rights."]
        ["l2tpctl用のソケットを開けず、起動できませんでした。",
         "既にl2tpdが動いていないか、admin-socketとadmin-group、ディレクトリの権限を確認してください。"];
    User
        ["The daemon could not become the user that the tag user names, so it did not start.",
         "See that the user exists, and that the daemon is started by root with its capabilities."]
        ["項目userの利用者に切り替えられず、起動できませんでした。",
         "その利用者が存在すること、rootが必要な権限を持って起動していることを確認してください。"];
    NotConfined
        ["The daemon wanted to give up the system calls (seccomp) or files (landlock) that it does not need, and the kernel \
          or the processor does not let it. It runs all the same.",
         "Nothing, where the kernel lacks it; in a container see what its own filter forbids. `seccomp off` says it is known."]
        ["不要なシステムコール(seccomp)やファイル(landlock)を手放そうとしましたが、カーネルまたはプロセッサが対応していません。動作は続けます。",
         "カーネルに無い場合は対処不要です。コンテナではそのフィルタの設定を確認してください。`seccomp off`で表示しなくなります。"];
    RestartAsked
        ["l2tpctl restart was called: the program file is started, looks at the state, and goes on with all tunnels if it can.", NOTHING]
        ["l2tpctl restartが実行されました。プログラムファイルを起動し直し、状態を確認したうえで全トンネルを引き継ぎます。", NOTHING_JA];
    HandedOver
        ["The new process has taken over tunnels, sessions and interfaces. No frame was lost; they waited in the kernel's queues \
          for that time.", NOTHING]
        ["新しいプロセスがトンネル、セッション、インタフェースを引き継ぎました。フレームは示された時間カーネルのキューで待ち、失われていません。", NOTHING_JA];
    NotHandedOver
        ["The program that was started could not take over. The one that ran goes on, and nothing was changed.",
         "Do what the reason says and try again. A version with another state needs a stop and a start."]
        ["起動したプログラムは引き継げませんでした。これまでのプログラムが動作を続け、何も変わっていません。",
         "示された理由を解消してやり直してください。状態の形式が異なる版へは、停止と起動が必要です。"];
    TakenOver
        ["This program goes on where the one before it was, with the configuration file as it is now.", NOTHING]
        ["このプログラムが前のプログラムを引き継ぎました。設定ファイルは現在の内容が有効です。", NOTHING_JA];
    PidFile
        ["After a restart the pid file still holds the process id of the program before.",
         "Correct what the error says; l2tpctl status shows the process id."]
        ["再起動後のpidファイルに、前のプログラムのプロセスIDが残っています。",
         "示されたエラーを直してください。プロセスIDはl2tpctl statusで分かります。"];
    KernelReceives
        ["The kernel's own L2TP over IP is loaded and answers packets that are meant for the daemon.",
         "Say `rmmod l2tp_ip` and keep it from being loaded, or set `encapsulation udp` at both ends."]
        ["カーネル自身のL2TP over IPが読み込まれており、このデーモン宛てのパケットにも応答します。",
         "`rmmod l2tp_ip`で外して再び読み込まれないようにするか、両側を`encapsulation udp`にしてください。"];
    ProgramFault
        ["The program has met a state that cannot be, and ends at once.",
         "Report it with this line and the log before it; a service manager starts the daemon again."]
        ["プログラムの不具合により、直ちに終了しました。",
         "この行とその前のログを添えて報告してください。サービス管理が再起動します。"];
    Suppressed
        ["So many lines of one kind came that they were counted instead of written; the text is the last one.",
         "Explain the text in brackets; a flood of it may be an attack, or a peer in a loop."]
        ["同じ種類の行が多すぎたため、書かずに数だけを数えました。括弧内は最後の行です。",
         "括弧内の文をexplainで調べてください。大量なら攻撃や、対向の異常な繰り返しが考えられます。"];
    Strangers
        ["Packets of others than the established peers, or with their addresses forged, cause more messages than are \
          written: so many for each address, and so many for all of them. The tunnels' own messages are not among them.",
         "See `l2tpctl explain` for who sends what; a packet filter that lets only the peers in keeps it away."]
        ["確立済みの対向装置以外(または送信元を偽った)パケットによるメッセージが、書き出す上限を超えました。トンネル自体のメッセージは含まれません。",
         "送信元は`l2tpctl explain`で分かります。対向装置だけを通すパケットフィルタで防げます。"];
    LinesLost
        ["Syslog or standard error did not take so many lines in time.",
         "`l2tpctl log` may have them still; see that syslog runs and keeps up."]
        ["syslogまたは標準エラー出力が受け取らなかったため、この数の行が失われました。",
         "`l2tpctl log`にはまだ残っているかもしれません。syslogの動作を確認してください。"];
    LogLevel
        ["The signal USR2 has switched the debug messages on or off.", NOTHING]
        ["シグナルUSR2により、デバッグメッセージの有無を切り替えました。", NOTHING_JA];
    Status
        ["A line of the status that the signal USR1 asked for, as `l2tpctl status` shows it.",
         "Nothing; `l2tpctl status` shows it without the log."]
        ["シグナルUSR1による状態表示の1行です。内容は`l2tpctl status`と同じです。",
         "対処は不要です。ログに残さず見るには`l2tpctl status`を使ってください。"];

    AdminUnknown
        ["A program connected to the admin socket, and the system does not say whose it is; it was refused.",
         "Mostly it has ended already; if this repeats, see the system's error."]
        ["管理用ソケットに接続したプログラムの利用者が分からないため、断りました。",
         "多くは既に終了したプログラムです。繰り返すなら、示されたエラーを確認してください。"];
    AdminUser
        ["A user who is neither root nor a member of admin-group connected to the admin socket.",
         "Add the user to the group that admin-group names, if it is to be allowed."]
        ["rootでもadmin-groupの利用者でもない利用者が、管理用ソケットに接続しました。",
         "許すなら、その利用者をadmin-groupのグループに加えてください。"];
    AdminBacklog
        ["A client of `watch`, `log -f` or `trace` left more than 64 KiB unread.",
         "Start it again; its output must go where it is taken fast enough."]
        ["`watch`・`log -f`・`trace`のクライアントが、64 KiBより多く読み残しました。",
         "もう一度始めてください。出力先が十分に速く読めることを確認してください。"];
    AdminIdle
        ["All places of the admin socket were taken, and this client of `watch`, `log -f` or `trace` had been sent \
          nothing for longest; root gets the place of anybody, others get that of one of their own.",
         "Start it again; see who keeps so many connections open (`ss -xp`, or the admin-group)."]
        ["管理ソケットの席が全て埋まったため、最も長く何も送られていない`watch`・`log -f`・`trace`のクライアントが席を譲りました。",
         "もう一度始めてください。接続を多く開いたままの利用者がいないか(`ss -xp`、admin-group)確認してください。"];
    Hook
        ["The command of on-event could not be started, or told by its status that it failed.",
         "Run the command by hand with the variables L2TPD_* set."]
        ["on-eventのコマンドを起動できなかったか、コマンドが失敗を示して終わりました。",
         "L2TPD_で始まる変数を設定して手で実行してみてください。"];
    HookKilled
        ["The command of on-event took too long and was killed, so that the next one can run.",
         "Let the command end by itself, and soon; what takes longer it must start in the background."]
        ["on-eventのコマンドが長くかかりすぎたため、次を実行できるよう強制終了しました。",
         "コマンドは短い時間で終わる必要があります。時間のかかる処理は背後で始めてください。"];
    HookQueue
        ["Events come faster than the command of on-event ends; the newest are kept.",
         "Let the command end sooner, or find out why the tunnel goes up and down so often."]
        ["on-eventのコマンドが終わるより速くイベントが起きています。新しいものを残します。",
         "コマンドを短くするか、トンネルが頻繁に上下する原因を調べてください。"];

    Dropped
        ["What came from this address is for no tunnel or session here, for the reason that is said. One such line \
          comes a minute and address at most; `l2tpctl explain` shows the count.",
         "Of an SCCRQ: mend the tunnel that should take it, or add one; `remote-address any` takes all addresses. \
          Messages for what is not there end when the peer notices that it is gone. Of a stranger, nothing need be \
          done."]
        ["このアドレスから届いたものは、示された理由により、こちらのどのトンネルやセッションのものでもありません。\
          アドレスごとに1分に1行までで、回数は`l2tpctl explain`で分かります。",
         "SCCRQなら、受けるべきトンネルを直すか加えてください。`remote-address any`ならどのアドレスでも受けます。\
          存在しない接続宛てのものは、対向が切断に気付けば止まります。心当たりがなければ対処は不要です。"];
    Moved
        ["The peer was asked at another address or port, from where its frames or messages came, and has answered there.",
         "Nothing, if the peer's address may change; else find out who holds the new address."]
        ["対向のフレームまたはメッセージが別のアドレスかポートから届き、そこへの問い合わせに応答があったので、宛先を切り替えました。",
         "対向のアドレスが変わり得るなら対処は不要です。そうでなければ新しいアドレスを確認してください。"];
    PwType
        ["The peer does not list the pseudowire type of this session, so the session is not asked for.",
         "Set `pseudowire` to a type in the list (5: ethernet, 4: vlan); a peer that lists neither does no Ethernet."]
        ["このセッションの回線種別が対向の一覧に無いため、確立を求めません。",
         "一覧にある種別(5はethernet、4はvlan)を`pseudowire`に設定してください。どちらも無い対向はイーサネットを扱えません。"];
    AvpOfCisco
        ["An attribute of Cisco that is not known here is marked as mandatory; it is passed over, for such peers set \
          the mark without meaning it.",
         "Nothing, if tunnel and sessions come up."]
        ["対向が必須と印を付けたCisco独自の未知のAVPを読み飛ばしました。この印に意味が無いことが知られています。",
         "トンネルとセッションが確立すれば対処は不要です。"];
    AvpIgnored
        ["An attribute that the peer may leave out has a wrong length or value; it counts as left out.",
         "Nothing, if tunnel and sessions come up; else it is a fault of the peer."]
        ["対向の任意のAVPの長さまたは値が誤っているため、無いものとして扱います。",
         "トンネルとセッションが確立すれば対処は不要です。そうでなければ対向の不具合です。"];

    Send
        ["The system takes no packets for this address; they count as lost, and are sent again.",
         "`Network is unreachable`: a route is missing. `Operation not permitted`: a local filter forbids it."]
        ["このアドレスへのパケットをシステムが受け付けません。失われたものとして再送します。",
         "`Network is unreachable`なら経路が無く、`Operation not permitted`なら自分側のフィルタが拒んでいます。"];
    Unreachable
        ["The peer or a router answered with an ICMP error. It is sent again: the peer may not be there yet.",
         "`Connection refused` or `Protocol not available`: see that L2TP runs at the peer, with the same \
          encapsulation and port, and that no filter rejects it."]
        ["対向や途中の機器がICMPエラーを返しました。対向がまだ動いていないだけかもしれず、再送します。",
         "`Connection refused`や`Protocol not available`なら、対向でL2TPが動いていること、カプセル化とポートが\
          同じこと、途中で拒まれていないことを確認してください。"];
    FramesNotSent
        ["The system does not take the frames of this session; they are lost and counted (tx_drop_error).",
         "See the system's error: a route, a local filter or the outgoing interface."]
        ["このセッションのフレームをシステムが受け付けず、失われています(tx_drop_errorで数えます)。",
         "示されたエラーから、経路・自分側のフィルタ・送信側インタフェースを確認してください。"];
    Links
        ["The system does not tell the daemon about its interfaces, so the peer is not told of them either.",
         "Allow netlink sockets (AF_NETLINK) where a sandbox or container forbids them."]
        ["システムからインタフェースの上げ下げの知らせを受け取れず、対向にも伝えられません。",
         "サンドボックスやコンテナで禁じられていれば、netlink(AF_NETLINK)を許可してください。"];
    InterfaceDeleted
        ["Somebody has removed the interface of a session; the session goes down and comes back with a new one.",
         "Find out who removed it: another network manager may have to leave it alone."]
        ["セッションのインタフェースが誰かに消されました。セッションを落とし、作り直します。",
         "何が消したかを調べてください。ほかのネットワーク管理の対象から外す必要があるかもしれません。"];
    Carrier
        ["The carrier of the interface could not be set; it may show a link that is not there, or none.",
         "Mostly the interface has just been removed; if this repeats, see the system's error."]
        ["インタフェースのキャリアを変えられず、実際のリンク状態と表示が異なるかもしれません。",
         "多くは消された直後のインタフェースです。繰り返すなら、示されたエラーを確認してください。"];
    UpOrDown
        ["The kernel did not let the daemon bring the interface of a session of its own up or down.",
         "Mostly the interface has just been removed; if this repeats, see the system's error."]
        ["カーネルのセッションのインタフェースを、上げるまたは下げることができませんでした。",
         "多くは消された直後のインタフェースです。繰り返すなら、示されたエラーを確認してください。"];
    Mtu
        ["The mtu of a session is larger than what fits into one packet towards the peer.",
         "Say `mtu auto`, or a value up to the one in the message; tcp-mss auto helps TCP."]
        ["セッションのmtuが、対向への一つのパケットに収まる大きさを超えています。",
         "`mtu auto`にするか、示された値以下にしてください。TCPには`tcp-mss auto`も有効です。"];
    MtuChanged
        ["The path to the peer carries longer or shorter packets than before, and with `mtu auto` the interface follows; a \
          bridge whose own MTU was not set follows its ports.",
         "Nothing; a path that changes often has a fault of its own. Stations learn of it by ICMP if `oversize icmp` is set."]
        ["対向までの経路を通るパケットの長さが変わり、`mtu auto`によりインタフェースが追従しました。MTUを指定していないブリッジも追従します。",
         "対処は不要です。頻繁に変わるなら経路に問題があります。`oversize icmp`なら端末にもICMPで伝わります。"];
    Spoiled
        ["The peer ended the control connection with an error when it had got a HELLO that was made long to probe the path.",
         "Nothing: it gets none any more until the tunnel's configuration is changed. `mtu-probing off` avoids the first one."]
        ["経路を探るために長くしたHELLOを受け取った対向が、エラーとして制御コネクションを終了しました。",
         "対処は不要です。トンネルの設定を変えるまで送りません。最初から送らないようにするには`mtu-probing off`とします。"];
    MtuRefused
        ["The MTU that fits the path could not be set on the interface; it keeps the one it has.",
         "Set `mtu` to a value that the system takes; another interface in the bridge may limit it."]
        ["経路に合うMTUをインタフェースに設定できず、今の値のままです。",
         "システムが受け付ける値を`mtu`に設定してください。ブリッジが制限している場合もあります。"];
    Resumed
        ["The daemon was killed, or the machine lost its power; the peer still has the connection of before, and it goes on with its ids, cookies and frames (`state-file`).",
         "Nothing. Before that line the log of the former process tells why it ended, if it could."]
        ["デーモンが強制終了したか電源が失われましたが、対向が以前の接続をまだ保持しているため、ID、クッキー、フレームをそのまま引き継ぎました(`state-file`)。",
         "対処は不要です。終了の理由は、残っていれば以前のプロセスのログにあります。"];
    NotResumed
        ["The state file has a connection of this tunnel, which cannot go on: the peer does not answer for it any more, the configuration is another one, or the file is not what was written here. The tunnel is set up anew.",
         "Nothing: that is as it was without a state file. Is it said after each start, look who else writes to the file."]
        ["状態ファイルにこのトンネルの接続がありますが、引き継げません。対向がもう応答しないか、設定が変わったか、ファイルがここで書かれたものではありません。トンネルは新たに確立し直します。",
         "対処は不要です。状態ファイルがないときと同じ動作です。起動のたびに出るときは、ほかに誰がファイルへ書いているかを調べてください。"];
    StateFile
        ["The file of `state-file` cannot be opened, read or written, or it is not safe there. The daemon goes on without it.",
         "See the system's error: the directory must exist, have room, and the file must be the daemon's alone (mode 0600)."]
        ["`state-file` のファイルを開けないか、読み書きできないか、安全ではありません。デーモンはこれを使わずに動作を続けます。",
         "示されたエラーを確認してください。ディレクトリが存在し空きがあること、ファイルがデーモンだけのもの(モード0600)であることが必要です。"];
    Fallback
        ["The peer has not answered with one of the two encapsulations of the tunnel, and is called with the other one.",
         "Nothing, if that works: attempts begin with it for an hour. Else filters on the way may let neither pass."]
        ["トンネルの2つのカプセル化の一方では対向から応答がなく、もう一方で呼び出します。",
         "それで確立すれば対処は不要です。その後1時間はその方式から試します。確立しなければ、途中のフィルタがどちらも通していない可能性があります。"];
    NoRoute
        ["Nothing can be sent to the peer yet: there is no route to it, or this host has no address at all.",
         "Nothing while the system boots: the tunnel is tried as soon as a route appears. Later, see `ip route`."]
        ["対向への経路がないか、このホストにまだアドレスがないため、何も送れません。",
         "起動中なら対処は不要です。経路ができ次第、接続を試みます。続くなら`ip route`で確かめてください。"];
    PeerInUse
        ["The tunnel has several peers (several lines remote-address), and another one is in use now, for the reason \
          that is said.",
         "Nothing: see revert-after for the way back. `l2tpctl failover` moves the tunnel to the next peer by hand."]
        ["remote-addressが複数あるトンネルで、使用中の対向が変わりました。理由は行末のとおりです。",
         "対処は不要です。元に戻る条件はrevert-afterで決まります。手動の切り替えは`l2tpctl failover`です。"];
    Source
        ["The address of this host that the tunnel used is gone, or the system sends from another one now.",
         "Nothing, where addresses may change; a fixed one can be named by local-address."]
        ["トンネルが使っていた自ホストのアドレスがなくなったか、別の送信元アドレスが選ばれるようになりました。",
         "アドレスが変わり得るなら対処は不要です。固定したい場合はlocal-addressで指定してください。"];
    SourcePassive
        ["The address in use is gone, at an end that does not begin: the peer gets a HELLO from the new one.",
         "If the peer does not follow it, let the peer begin anew (`clear tunnel` there)."]
        ["自分からは接続を始めない側で、使っていたアドレスがなくなりました。新しいアドレスから対向にHELLOを送ります。",
         "対向が追随しない場合は、対向側で`clear tunnel`を実行して接続し直してください。"];
    Routes
        ["The system does not answer the daemon's questions about routes: a change is noticed by time-outs only.",
         "Allow netlink sockets (AF_NETLINK) where a sandbox or container forbids them; see links."]
        ["経路についての問い合わせにシステムが答えないため、経路の変化は時間切れでしか分かりません。",
         "サンドボックスやコンテナがnetlinkソケットを禁じていないか確かめてください。"];
    BridgeDeleted
        ["Somebody has removed the bridge that sessions' interfaces were in; the sessions stay up, without the LAN.",
         "Nothing, if the network is being restarted; else make the bridge again: the interfaces join it."]
        ["セッションのインタフェースが参加していたブリッジが誰かに消されました。セッションは続きますが、LANとはつながりません。",
         "ネットワークの再起動中なら対処は不要です。そうでなければブリッジを作り直してください。自動的に参加します。"];
    BridgeLeft
        ["Somebody has taken the interface of a session out of its bridge; this is respected.",
         "`ip link set IFNAME master BRIDGE` puts it back; to leave it out for good, remove the tag bridge."]
        ["セッションのインタフェースが、誰かにブリッジから外されました。そのままにします。",
         "`ip link set IFNAME master BRIDGE`で戻せます。外したままにするなら、項目bridgeを消してください。"];
    BridgeAgain
        ["The interface of a session is back in its bridge, after it or the bridge was gone for a while.",
         "Nothing: the LAN is connected again."]
        ["外れていたか、ブリッジごと消えていたインタフェースが、再びブリッジに参加しました。",
         "対処は不要です。LANとの接続が戻りました。"];
    BridgeRefused
        ["The bridge of a session has come back, but its interface cannot join it; the LAN is not connected.",
         "See that this name is a bridge's, and that the interface is in no other one; then put it in by hand."]
        ["ブリッジは戻りましたが、インタフェースが参加できず、LANとつながっていません。",
         "その名前がブリッジであること、ほかに参加していないことを確認し、手で参加させてください。"];
    LinkLocal
        ["The bridge or its port could not be set to forward frames such as those of 802.1X and LLDP; all other frames \
          pass.",
         "See the system's error; else set `group_fwd_mask` by hand with `ip link`, see l2tpd.conf(5)."]
        ["802.1XやLLDPなどのフレームを転送するよう、ブリッジまたはポートを設定できませんでした。ほかのフレームは通ります。",
         "示されたエラーを確認するか、`ip link`で`group_fwd_mask`を手で設定してください。l2tpd.conf(5)を参照。"];
    SplitHorizon
        ["The bridge could not be told to keep the ports of a split-horizon group apart: frames pass between them, and there may \
          be a loop.",
         "See the system's error; `bridge link set dev IFNAME isolated on` does the same by hand."]
        ["split-horizonの同じグループのポートどうしを隔離するよう、ブリッジに設定できませんでした。フレームが行き来し、ループになるおそれがあります。",
         "示されたエラーを確認してください。`bridge link set dev IFNAME isolated on`でも設定できます。"];
    Loop
        ["A probe that was sent through one session came back by another one of the same bridge: the LANs form a loop. The \
          newer of the two sessions carries no frames for a while, and its peer hears that its circuit is down.",
         "Remove one of the ways: with a full mesh of tunnels give the sessions of each site the same split-horizon group, \
          else use a spanning tree. If nothing changes the loop is found and broken again."]
        ["あるセッションから送った検査フレームが、同じブリッジの別のセッションから戻ってきました。LANがループになっています。2つのうち新しいほうのセッションはしばらくフレームを運ばず、対向装置には回線のダウンを知らせます。",
         "経路を1つ減らしてください。フルメッシュのトンネルなら各拠点のセッションに同じsplit-horizonのグループを指定し、そうでなければスパニングツリーを使います。そのままにすると、再び検出して切断します。"];
    LoopReleased
        ["The time of a session that was held down because of a loop is over: it carries frames again.",
         "Nothing; if the loop is still there it is found again within seconds."]
        ["ループのために止めていたセッションの時間が過ぎ、再びフレームを運びます。",
         "対処は不要です。ループが残っていれば、数秒で再び検出します。"];
    ByBpf
        ["Programs in the kernel carry this session's plain frames, past the daemon (`data-plane bpf` or `auto`).",
         "Nothing. What they leave (ARP, frames with tags) the daemon carries."]
        ["`data-plane bpf`または`auto`により、このセッションの通常のフレームはカーネル内のプログラムが運びます。",
         "対処は不要です。それ以外(ARP、タグ付きなど)はデーモンが運びます。"];
    NotByBpf
        ["The programs in the kernel (`data-plane bpf` or `auto`) do not carry this session; the line says why.",
         "Nothing, if the daemon is fast enough; else take away what the line names."]
        ["このセッションは、カーネル内のプログラム(`data-plane bpf`または`auto`)では運びません。理由はこの行にあります。",
         "デーモンの速度で足りるなら対処は不要です。足りなければ、この行の原因を取り除いてください。"];
    AutoPlane
        ["`data-plane auto` (the default) has chosen what carries frames, and says why.",
         "Nothing. `l2tpctl status` tells of each session; a `data-plane` of another name decides otherwise."]
        ["`data-plane auto`(省略時)が、フレームを運ぶ方法を選びました。理由はこの行にあります。",
         "対処は不要です。セッションごとの方法は`l2tpctl status`に表示されます。ほかの方法にするには`data-plane`で指定します。"];
    NoBpf
        ["`data-plane bpf` is set, but the kernel takes no programs from the daemon.",
         "It needs Linux 6.6 and, in a container, CAP_BPF; else the frames are carried as with `data-plane tap`."]
        ["`data-plane bpf`が設定されていますが、カーネルがプログラムを受け付けません。",
         "Linux 6.6以降と、コンテナではCAP_BPFが必要です。それまでは`data-plane tap`と同じに動きます。"];
    KernelSession
        ["The peer has a new address, and the kernel did not make the session anew for it: the session ends.",
         "It is set up again by itself; if that fails too, see the error in this line."]
        ["対向のアドレスが変わりましたが、カーネルのセッションを作り直せず、セッションは終わります。",
         "自動的に確立し直します。それも失敗するなら、この行のエラーを確認してください。"];
}
