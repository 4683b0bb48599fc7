//! Messages of level error.

use super::about::{about, Explanation};

/// M-001 to M-025.
pub(super) static TABLE: &[Explanation] = &[
    about(
        "M-001",
        ["The system's source of random numbers cannot be opened or read, so no id, cookie or nonce can be drawn.",
         "See that /dev/urandom exists and is readable where the daemon runs (a chroot or container may lack it)."],
        ["乱数源を開けないか読めないため、ID・Cookie・Nonceを作れません。",
         "デーモンが動く環境(chrootやコンテナを含む)に /dev/urandom があり、読めることを確認してください。"],
    ),
    about(
        "M-002",
        ["A tag of the configuration wants an address or a router-id, and its value is none, or the two ends of a \
          tunnel are of different families.",
         "Correct the value at the place that the next line names; router-id is written like an IPv4 address."],
        ["アドレスまたはrouter-idを書くべき設定の値が読めないか、トンネル両端のアドレスの種類が異なります。",
         "次の行が示す場所の値を直してください。router-idはIPv4アドレスの形で書きます。"],
    ),
    about(
        "M-003",
        ["A tag of the configuration stands without the parameter it needs.",
         "Add the parameter, or remove the line; l2tpd.conf(5) lists what each tag takes."],
        ["設定の項目に必要な値が書かれていません。",
         "値を書き足すか、その行を消してください。各項目の値はl2tpd.conf(5)にあります。"],
    ),
    about(
        "M-004",
        ["A tag has more parameters than it takes, or stands more than once where it may stand once.",
         "Keep one line with one value; put a value with blanks into double quotes."],
        ["設定の項目に値が多すぎるか、一度しか書けない項目が繰り返されています。",
         "一つの行に一つの値だけを残してください。空白を含む値は二重引用符で囲みます。"],
    ),
    about(
        "M-005",
        ["The file that holds the process id cannot be written, or another running l2tpd holds it.",
         "Stop the other daemon, or give a writable path with -p or the tag pid-file."],
        ["プロセスIDのファイルを書けないか、動作中の別のl2tpdがそれを使っています。",
         "先に動いているデーモンを止めるか、-pまたはpid-fileで書ける場所を指定してください。"],
    ),
    about(
        "M-006",
        ["The configuration file does not exist or may not be read by the daemon, or it is refused: others than root \
          could have written it, though its commands are run, or can read the secrets in it.",
         "The next line says which, and ends with the command that mends a refused file; look whether somebody has \
          changed it, and change secrets that others could read. Else check the path (default /etc/l2tpd.conf, else -c)."],
        ["設定ファイルが無いか、デーモンに読む権限が無いか、または拒否されました。root以外が書き換えられるファイル(中のコマンドが実行されるため)\
          や、秘密を他人が読めるファイルは使いません。",
         "次の行が理由を示し、拒否の場合は直すコマンドで終わります。書き換えられていないか確かめ、読まれたおそれのある秘密は変えてください。\
          それ以外はパス(既定は/etc/l2tpd.conf、-cで変更可)を確認してください。"],
    ),
    about(
        "M-007",
        ["The daemon could not detach from its terminal and go into the background.",
         "Look at the system's error text and the file that the next line names; under a service manager run it in the \
          foreground with -d."],
        ["端末から離れてバックグラウンドに移れませんでした。",
         "システムのエラー文と、次の行にあればファイル名を見てください。サービス管理の下では-dで前面のまま動かします。"],
    ),
    about(
        "M-008",
        ["A client of the admin socket could not be accepted; accepting pauses for a second.",
         "`Too many open files` means that the limit of descriptors is reached: raise it (LimitNOFILE, ulimit -n)."],
        ["管理用ソケットへの接続を受け付けられませんでした。1秒後に再び受け付けます。",
         "`Too many open files`ならファイル記述子の上限です。LimitNOFILEやulimit -nで増やしてください。"],
    ),
    about(
        "M-009",
        ["A control connection could not be made: too many exist, no id is free, or its socket cannot be bound.",
         "The next line says which: check max-tunnels, that local-address is an address of this host, or that the name \
          of the peer that it names can be looked up (DNS, /etc/hosts); it is tried again by itself."],
        ["コントロールコネクションを作れません。数の上限、IDの不足、またはソケットを割り当てられないことが原因です。",
         "次の行が原因を示します。max-tunnels、local-addressがこのホストのアドレスであること、そこに書かれた対向の名前が\
          引けること(DNS、/etc/hosts)を確認してください。自動で再試行します。"],
    ),
    about(
        "M-010",
        ["The system refused to create or set up a network interface.",
         "The next line names what is in the way: /dev/net/tun (missing, not permitted, the module tun not loaded), \
          another user of the interface's name, or a missing CAP_NET_ADMIN. The peer has no part in it."],
        ["ネットワークインタフェースの作成または設定をシステムが拒みました。",
         "次の行が原因を示します: /dev/net/tun(無い、使えない、モジュールtunが無い)、名前の重複、CAP_NET_ADMINの不足。\
          対向側の問題ではありません。"],
    ),
    about(
        "M-011",
        ["A message would not fit: one of its AVPs is longer than an AVP can be, or the whole longer than a packet.",
         "Shorten the values of the configuration that go into messages: hostname, remote-end-id."],
        ["送るべきメッセージが規格の長さに収まりません。",
         "メッセージに載る設定値(hostname、remote-end-id)を短くしてください。"],
    ),
    about(
        "M-012",
        ["A session could not be made: too many exist, or no id is free.",
         "Check max-sessions; a session of ours is tried again after restart-interval."],
        ["セッションを作れません。数が上限に達したか、空いているIDがありません。",
         "max-sessionsを確認してください。こちらから始めるセッションはrestart-intervalの後に再試行します。"],
    ),
    about(
        "M-013",
        ["Receiving from a client of the admin socket failed; its connection is closed.",
         "Usually a client that ended with unread data: harmless. Tunnels are not concerned."],
        ["管理用ソケットのクライアントからの受信に失敗し、その接続を閉じました。",
         "多くは読み残しのまま終わったクライアントで、害はありません。トンネルには影響しません。"],
    ),
    about(
        "M-014",
        ["Receiving on a tunnel's socket failed, which the next line names; it is tried again.",
         "Look for what the system lacks, memory for example. What ICMP tells about a peer does not come as this \
          message: see `l2tpctl explain tunnel`."],
        ["トンネルのソケット(次の行)での受信に失敗しました。受信は続けて試みます。",
         "メモリなど、システムに足りないものを調べてください。対向からのICMPエラーはこの行にはならず、\
          `l2tpctl explain tunnel`が示します。"],
    ),
    about(
        "M-015",
        ["The peer acknowledged a control message not even after the last retransmission: the tunnel is taken \
          down, and set up again after restart-interval.",
         "Check the path to the peer: reachability, filters for protocol 115 or the UDP port, whether the peer \
          runs. retry and retry-interval say how long is waited."],
        ["再送を使い切っても制御メッセージの確認応答が届かず、トンネルを切断します。restart-intervalの後に再び\
          接続します。",
         "対向までの到達性、プロトコル115またはUDPポートのフィルタ、対向の動作を確認してください。待つ長さは\
          retryとretry-intervalで決まります。"],
    ),
    about(
        "M-016",
        ["A reply could not be written to a client of the admin socket.",
         "The client ended or stopped reading before it had the whole reply; ask again."],
        ["管理用ソケットのクライアントに応答を送れませんでした。",
         "クライアントが返答を読み終える前に終了または停止しています。もう一度実行してください。"],
    ),
    about(
        "M-017",
        ["The system gave the daemon no socket.",
         "`Operation not permitted`: CAP_NET_RAW is missing. `Too many open files`: raise the limit. `Address \
          family not supported`: IPv6 is switched off."],
        ["ソケットを作れませんでした。",
         "`Operation not permitted`はCAP_NET_RAWの不足、`Too many open files`は上限、`Address family not \
          supported`はIPv6が無効という意味です。"],
    ),
    about(
        "M-018",
        ["A session block lacks what is needed to start the session; the other sessions are not concerned.",
         "Add what the next line names, most often remote-end-id, and reload."],
        ["セッションの設定に必要な項目が無く、このセッションを始められません。ほかのセッションには影響しません。",
         "次の行が示す項目(多くはremote-end-id)を書き足して再読み込みしてください。"],
    ),
    about(
        "M-019",
        ["A tunnel block lacks what is needed to start the tunnel; the other tunnels are not concerned.",
         "Add what the next line names: remote-address, remote-hostname or remote-router-id, and reload."],
        ["トンネルの設定に必要な項目が無く、このトンネルを始められません。ほかのトンネルには影響しません。",
         "次の行が示す項目(remote-address、remote-hostname、remote-router-idなど)を書き足して再読み込みして\
          ください。"],
    ),
    about(
        "M-020",
        ["What came over the admin socket is not a request: its header is cut off, foreign or announces too much. \
          The connection was closed.",
         "Use the l2tpctl of the same version; the protocol is described in l2tpd-admin(5)."],
        ["管理用ソケットに届いたデータのヘッダが不完全か、形式や長さが正しくないため、接続を閉じました。",
         "同じ版のl2tpctlを使ってください。形式はl2tpd-admin(5)にあります。"],
    ),
    about(
        "M-021",
        ["The daemon could not start and ends with status 1.",
         "The line before this one names the step that failed; `l2tpd -n` checks the configuration alone."],
        ["起動できず、終了コード1で終わります。",
         "直前の行が失敗した処理を示しています。設定だけなら`l2tpd -n`で検査できます。"],
    ),
    about(
        "M-022",
        ["There is no memory for what the configuration asks for.",
         "Lower log-buffer, or give the daemon more memory (MemoryMax, container limits)."],
        ["設定が求める大きさのメモリを確保できません。",
         "log-bufferを小さくするか、使えるメモリ(MemoryMaxやコンテナの制限)を増やしてください。"],
    ),
    about(
        "M-023",
        ["A tunnel or session was to be cleared with result code 0, which is reserved; nothing was sent.",
         "Give a code from 1 on, or leave result-code out."],
        ["予約されている値0を結果コードに指定したため、何も送らず、切断もしていません。",
         "1以上のコードを指定するか、result-codeを省いてください。"],
    ),
    about(
        "M-024",
        ["Waiting for events failed; the daemon cannot go on.",
         "This points at the system (seccomp filters, memory), not at a tunnel; report it with the error text."],
        ["イベント待ちの呼び出しが失敗し、動作を続けられません。",
         "トンネルではなくシステム側(seccomp、メモリなど)の問題です。エラー文を添えて報告してください。"],
    ),
    about(
        "M-025",
        ["The interface of a session could not be set up, so the session is closed and tried again.",
         "The line before tells what the system refused; check the interface name, mtu, bridge and data-plane."],
        ["セッションのインタフェースを設定できなかったため、セッションを閉じて後で再試行します。",
         "直前の行に拒まれた操作があります。インタフェース名、mtu、bridge、data-planeを確認してください。"],
    ),
];
